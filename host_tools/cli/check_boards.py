# SPDX-License-Identifier: MIT
"""`ttzo check-boards`: the same bits on every emulated board and machine, in one table."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import click

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.exporter.export import plan_of
from ttzo.host_tools.cli.bench import random_rows
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.machines import MACHINES, Machine
from ttzo.host_tools.measure.board_check import (
    BoardCheck,
    MachineCheck,
    check_board,
    check_machine,
    has_emulator,
)

MODELS = ("digits", "names", "digits-conv", "black-scholes")


@click.command("check-boards")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--board", "names", metavar="BOARD", multiple=True, help="Only this board or machine; may be repeated.")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Training steps.")
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Rows of a step.")
@command
def check_boards_command(
    screen: Screen, models: tuple[str, ...], names: tuple[str, ...], steps: int, batch: int
) -> dict:
    """Train models on every emulated board and machine and on this machine, and compare the bits.

    MODEL is what `ttzo export` accepts; by default one of each kind: a classifier, an embedding, a convolution, an equation.
    A board that a model does not fit, or that has no emulator, says so in its row. Machines (aarch64, riscv64, i686) run the
    native port in user-mode emulation. The Raspberry Pi Pico runs in the npm package rp2040js, which is slow.
    """
    found, refusals, rows = [], [], []
    for model in models or MODELS:
        for name in names or (*boards.names(), *MACHINES):
            for arithmetic, check in _checks(name):
                try:
                    result = check(model, steps, batch)
                    found.append({"model": model, **dataclasses.asdict(result)})
                    rows.append(_row(model, result))
                except TtzoError as error:
                    refusals.append({"model": model, "board": name, "arithmetic": arithmetic, "refusal": str(error)})
                    rows.append((model, name, arithmetic, f"refused: {str(error)[:60]}", "", "", "", ""))
                screen.say(" ".join(rows[-1][:4]))
    heads = ("model", "board", "arithmetic", "bits", "flash", "RAM", "stack forecast, seen", "instructions a step")
    screen.table("emulated boards and machines against native:", rows, heads)
    return {"checks": found, "refusals": refusals}


Check = Callable[[str, int, int], BoardCheck | MachineCheck]


def _checks(name: str) -> Iterator[tuple[str, Check]]:
    """What is checked on a board or machine: each arithmetic, by name."""
    if name in MACHINES:
        yield from ((each.name, partial(_on_machine, MACHINES[name], each)) for each in Arithmetic)
        return
    board = boards.load(name)
    for arithmetic in board.arithmetics if has_emulator(board) else ():
        yield arithmetic, partial(_on_board, board, Arithmetic[arithmetic])


def _on_board(board: Board, arithmetic: Arithmetic, model: str, steps: int, batch: int) -> BoardCheck:
    plan = plan_of(model, room=board.room, batch=batch, arithmetic=arithmetic.name)
    return check_board(plan, board, random_rows(plan), steps)


def _on_machine(machine: Machine, arithmetic: Arithmetic, model: str, steps: int, batch: int) -> MachineCheck:
    plan = plan_of(model, batch=batch, arithmetic=arithmetic.name)
    return check_machine(plan, machine, random_rows(plan), steps)


def _row(model: str, check: BoardCheck | MachineCheck) -> tuple[str, ...]:
    bits = f"{'equal' if check.equal else 'DIFFERENT'} after {check.steps} steps"
    if isinstance(check, MachineCheck):
        return (model, check.machine, check.arithmetic, bits, "", "", "", "")
    sizes = (f"{check.flash_bytes:,}", f"{check.ram_bytes:,}", f"{check.stack_forecast:,}, {check.stack_seen:,}")
    return (model, check.board, check.arithmetic, bits, *sizes, f"{check.instructions:,}")
