# SPDX-License-Identifier: MIT
"""The `ttzo` command: all commands, and the help that is common to them."""

import re
from importlib import import_module
from pathlib import Path

import click

from ttzo.device_runtime.contract import ExitCode

FOLDER = Path(__file__).parent
# A command: the module of this folder that holds its function NAME_command. A module is imported when its command is asked
# for, so that help comes at once.
COMMANDS = {
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
    "plan": "plan",
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
HELP = f"""Train neural networks on a microcontroller, with forward passes only.

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


class Commands(click.Group):
    """The commands. With --json, wrong usage too is reported as one object on stdout."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ttzo.host_tools.cli.{COMMANDS[cmd_name]}")
        return getattr(module, f"{cmd_name.replace('-', '_')}_command")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not {*args} & {"-h", "--help"} or "--json" in args or args[0] in COMMANDS:
            from ttzo.host_tools.cli.screen import Screen  # it takes longer to import than help to print

            ctx.obj = Screen("--json" in args)
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("A device is a URL"):
            formatter.write_dl(DEVICES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first sentence, which click would cut where the line ends."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(name)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)
        except click.UsageError as error:
            asked = error.ctx or ctx
            ctx.obj.refuse(error.format_message(), f"see `{asked.command_path} --help`", ExitCode.usage)
            raise


def first_sentence(name: str) -> str:
    """The first sentence of a command's docstring, read from its source: importing all modules would take a second."""
    source = (FOLDER / f"{COMMANDS[name]}.py").read_text(encoding="utf-8")
    function = source.partition(f"\ndef {name.replace('-', '_')}_command(")[2]
    (text,) = re.findall(r'"""(.*?)(?:\n\n|""")', function, re.DOTALL)[:1]
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


@click.group(
    cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="ttzo", prog_name="ttzo")
def main() -> None:
    pass
