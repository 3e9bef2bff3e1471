# SPDX-License-Identifier: MIT
"""The `ttzo` command: all commands, and the help that is common to them."""

import ast
import importlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import click

from ttzo.device_runtime.contract import ExitCode
from ttzo.host_tools.cli.screen import Screen

# The commands by name: their module here. A module is imported when its command runs, and not for the list of all.
MODULES = {
    "adapt": "adapt",
    "bench": "bench",
    "boards": "bundle",
    "build": "bundle",
    "check-boards": "check_boards",
    "compare": "device",
    "demo": "demo",
    "deploy": "micropython",
    "emulate": "emulate",
    "estimators": "estimators",
    "eval": "device",
    "export": "bundle",
    "flash": "bundle",
    "identify": "identify",
    "key": "key",
    "module": "micropython",
    "plan": "bundle",
    "predict": "predict",
    "ranks": "ranks",
    "record": "record",
    "report": "report",
    "reproduce": "reproduce",
    "sensors": "sensors",
    "sign": "sign",
    "train": "device",
    "verify": "sign",
}
_EXIT_CODES = ", ".join(f"{code:d} {code.text}" for code in ExitCode)
WHOLE = 1000  # characters, more than any first sentence has
HELP = f"""Train tensor-train networks on a microcontroller, with forward passes only.

Exit codes: {_EXIT_CODES}.
"""
DEVICES = (
    ("/dev/ttyACM0, COM3, unix:PATH, socket://HOST:PORT", "a board, or whatever answers there"),
    ("usb:VID:PID, usb:SERIAL", "a board by its USB numbers, whatever its port is called"),
    ("mpy:/dev/ttyACM0, mpy:COM3", "a MicroPython board, after `ttzo deploy`"),
    ("native:", "the C runtime on this machine"),
    ("qemu:netduinoplus2", "the real firmware in an emulated board"),
    ("numpy:, onnx:", "the Python training loop"),
)


def _function(name: str) -> str:
    return f"{name.replace('-', '_')}_command"


def _first_sentence(name: str) -> str:
    """Of the command's docstring, read from its file."""
    tree = ast.parse(Path(__file__).with_name(f"{MODULES[name]}.py").read_text(encoding="utf-8"))
    function = next(each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == _function(name))
    return click.Command(name, help=ast.get_docstring(function)).get_short_help_str(WHOLE)


class Imported(MutableMapping[str, click.Command]):
    """The commands of `MODULES`, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        module = importlib.import_module(f"ttzo.host_tools.cli.{MODULES[name]}")
        return getattr(module, _function(name))

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError("a command is added to MODULES")

    def __delitem__(self, name: str) -> None:
        raise TypeError("a command is removed from MODULES")


class Commands(click.Group):
    """The commands. With --json, wrong usage too is reported as one object on stdout."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = Screen("--json" in args)
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("A device is a URL"):
            formatter.write_dl(DEVICES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first sentence, which click would cut where the line ends."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(name)) for name in sorted(self.commands)])

    def invoke(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)
        except click.UsageError as error:
            asked = error.ctx or ctx
            ctx.obj.refuse(error.format_message(), f"see `{asked.command_path} --help`", ExitCode.usage)
            raise


@click.group(
    cls=Commands,
    commands=Imported(),
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ttzo", prog_name="ttzo")
def main() -> None:
    pass
