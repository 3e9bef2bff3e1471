# SPDX-License-Identifier: MIT
"""The `ttzo` command: all commands, and the help that is common to them."""

import click

from ttzo.device_runtime.contract import ExitCode
from ttzo.host_tools.cli import (
    adapt,
    bench,
    bundle,
    check_boards,
    demo,
    device,
    emulate,
    estimators,
    identify,
    key,
    micropython,
    predict,
    ranks,
    record,
    report,
    reproduce,
    sensors,
    sign,
)
from ttzo.host_tools.cli.screen import Screen

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
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(WHOLE)) for name in sorted(self.commands)]
            )

    def invoke(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)
        except click.UsageError as error:
            asked = error.ctx or ctx
            ctx.obj.refuse(error.format_message(), f"see `{asked.command_path} --help`", ExitCode.usage)
            raise


@click.group(
    cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="ttzo", prog_name="ttzo")
def main() -> None:
    pass


for made in (
    bundle.export_command,
    bundle.plan_command,
    estimators.estimators_command,
    bundle.build_command,
    bundle.flash_command,
    record.record_command,
    device.train_command,
    device.eval_command,
    predict.predict_command,
    adapt.adapt_command,
    identify.identify_command,
    device.compare_command,
    emulate.emulate_command,
    key.key_command,
    sign.sign_command,
    sign.verify_command,
    report.report_command,
    micropython.deploy_command,
    micropython.module_command,
    bench.bench_command,
    check_boards.check_boards_command,
    ranks.ranks_command,
    reproduce.reproduce_command,
    sensors.sensors_command,
    bundle.boards_command,
    demo.demo_command,
):
    main.add_command(made)
