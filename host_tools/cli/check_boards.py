# SPDX-License-Identifier: MIT
"""`ttzo check-boards`: the same bits on every emulated board, in one table."""

import dataclasses

import click

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.exporter.export import plan_of
from ttzo.host_tools.cli.bench import random_rows
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.measure.board_check import BoardCheck, check_board

MODELS = ("digits", "names", "digits-conv", "black-scholes")


@click.command("check-boards")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--board", "names", metavar="BOARD", multiple=True, help="Only this board; may be repeated.")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Training steps.")
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Rows of a step.")
@command
def check_boards_command(
    screen: Screen, models: tuple[str, ...], names: tuple[str, ...], steps: int, batch: int
) -> dict:
    """Train models on every emulated board and on this machine, and compare the bits.

    MODEL is what `ttzo export` accepts; by default one of each kind: a classifier, an embedding, a convolution, an equation.
    A board that a model does not fit, or that has no emulator, says so in its row.
    """
    found, refusals, rows = [], [], []
    for model in models or MODELS:
        for board in map(boards.load, names or boards.names()):
            for arithmetic in board.arithmetics if board.qemu_machine else ():
                try:
                    plan = plan_of(model, room=board.room, batch=batch, arithmetic=arithmetic)
                    check = check_board(plan, board, random_rows(plan), steps)
                    found.append({"model": model, **dataclasses.asdict(check)})
                    rows.append(_row(model, check))
                except TtzoError as error:
                    refusals.append({"model": model, "board": board.name, "arithmetic": Arithmetic[arithmetic].name, "refusal": str(error)})  # fmt: skip
                    rows.append((model, board.name, arithmetic, f"refused: {str(error)[:60]}", "", "", "", ""))
                screen.say(" ".join(rows[-1][:4]))
    heads = ("model", "board", "arithmetic", "bits", "flash", "RAM", "stack forecast, seen", "instructions a step")
    screen.table("emulated boards against native:", rows, heads)
    return {"checks": found, "refusals": refusals}


def _row(model: str, check: BoardCheck) -> tuple[str, ...]:
    bits = f"{'equal' if check.equal else 'DIFFERENT'} after {check.steps} steps"
    sizes = (f"{check.flash_bytes:,}", f"{check.ram_bytes:,}", f"{check.stack_forecast:,}, {check.stack_seen:,}")
    return (model, check.board, check.arithmetic, bits, *sizes, f"{check.instructions:,}")
