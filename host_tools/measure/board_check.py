# SPDX-License-Identifier: MIT
"""Whether emulated boards and machines train a model to the bits of this machine, and what it takes on a board: flash, RAM,
the deepest stack that was forecast and the one that was seen, instructions."""

import struct
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Region
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.device.emulated_device import start_program
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.build import build
from ttzo.host_tools.firmware.machines import Machine

STACK_PAINT = 0xC0DEC0DE  # of ports/serial/serial.h


@dataclass(frozen=True)
class BoardCheck:
    """One model on one board; `instructions` are of a step, the link's share included."""

    board: str
    arithmetic: str
    steps: int
    equal: bool
    flash_bytes: int
    ram_bytes: int
    stack_forecast: int
    stack_seen: int
    instructions: int


def check_board(plan: Plan, board: Board, rows: np.ndarray, steps: int) -> BoardCheck:
    """Trains on the emulated board and on this machine, each step on the first batch of `rows` (uint8 [batch, row_bytes];
    an equation draws its own points). Raises what `build`, `emulated` and `open_device` raise."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / BUNDLE).write_bytes(to_bundle.write(plan))
        for file, text in c_files(plan).items():
            (folder / file).write_text(text, encoding="utf-8")
        report = build(folder, board)
        counter = folder / "count"
        with qemu.emulated(board, report.elf, counter=counter) as emulation:
            on_board, instructions = _trained(emulation.url, folder, plan, rows, steps, counter)
            seen = _stack_seen(emulation, board, folder)
        here, _ = _trained("native:", folder, plan, rows, steps, None)
    taken = report.static_bytes + report.stack_capacity + report.work_needed
    return BoardCheck(board.name, plan.arithmetic.name, steps, on_board == here, report.flash_bytes, taken,
                      report.stack_bytes, seen, instructions)  # fmt: skip


@dataclass(frozen=True)
class MachineCheck:
    """One model on a machine in user-mode emulation."""

    machine: str
    arithmetic: str
    steps: int
    equal: bool


def check_machine(plan: Plan, machine: Machine, rows: np.ndarray, steps: int) -> MachineCheck:
    """The same as `check_board` of the native port, compiled for another machine."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as owned:
        path = Path(name) / BUNDLE
        path.write_bytes(to_bundle.write(plan))
        url = start_program(machine.command(plan.arithmetic), path, plan, owned)
        there, _ = _trained(url, Path(name), plan, rows, steps, None)
        here, _ = _trained("native:", Path(name), plan, rows, steps, None)
    return MachineCheck(machine.name, plan.arithmetic.name, steps, there == here)


def _trained(
    url: str, folder: Path, plan: Plan, rows: np.ndarray, steps: int, counter: Path | None
) -> tuple[bytes, int]:
    """Parameters and moments after the steps, and the instructions of one."""
    region = Region.collocation if plan.pde else Region.batch
    with open_device(url, folder) as device:
        if not plan.pde:
            device.write_batch(rows[: plan.batch])
        before = _count(counter)
        for _ in range(steps):
            device.step(region)
        taken = _count(counter) - before
        return device.parameters().tobytes() + device.moments().tobytes(), taken // steps


def _count(counter: Path | None) -> int:
    return struct.unpack("<Q", counter.read_bytes())[0] if counter else 0


def _stack_seen(emulation: qemu.Emulation, board: Board, folder: Path) -> int:
    """Bytes of stack that were ever written: of what startup.c painted, all that is painted no more."""
    path = folder / "stack"
    emulation.ask("memsave", val=board.ram_origin, size=board.stack_bytes, filename=str(path))
    written = np.flatnonzero(np.fromfile(path, "<u4") != STACK_PAINT)
    return board.stack_bytes - 4 * int(written[0]) if len(written) else 0
