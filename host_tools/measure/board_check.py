# SPDX-License-Identifier: MIT
"""Whether emulated boards and machines train a model to the bits of this machine, and what it takes on a board: flash, RAM,
the deepest stack that was forecast and the one that was seen, instructions."""

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Region
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.device import qemu, rp2040
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.device.emulated_device import start_program
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.build import BuildReport, build
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
        with _emulated(board, report, folder) as emulation:
            on_board, instructions = _trained(emulation.url, folder, plan, rows, steps, emulation.instructions)
            seen = _stack_seen(emulation.memory(board.ram_origin, board.stack_bytes))
        here, _ = _trained("native:", folder, plan, rows, steps, lambda: 0)
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
        there, _ = _trained(url, Path(name), plan, rows, steps, lambda: 0)
        here, _ = _trained("native:", Path(name), plan, rows, steps, lambda: 0)
    return MachineCheck(machine.name, plan.arithmetic.name, steps, there == here)


def has_emulator(board: Board) -> bool:
    """Whether `check_board` can run the board: QEMU has a machine for it, or rp2040js its chip."""
    return bool(board.qemu_machine) or rp2040.emulates(board)


class _InQemu:
    """What is asked of an emulated board, of one in QEMU; `Pico` answers the same."""

    def __init__(self, emulation: qemu.Emulation, folder: Path):
        self.url, self._emulation, self._folder = emulation.url, emulation, folder

    def instructions(self) -> int:
        return struct.unpack("<Q", (self._folder / "count").read_bytes())[0]

    def memory(self, origin: int, size: int) -> bytes:
        path = self._folder / "memory"
        self._emulation.ask("memsave", val=origin, size=size, filename=str(path))
        return path.read_bytes()


@contextmanager
def _emulated(board: Board, report: BuildReport, folder: Path) -> Iterator[_InQemu | rp2040.Pico]:
    if rp2040.emulates(board):
        with rp2040.emulated(board, report.bin) as pico:
            yield pico
        return
    with qemu.emulated(board, report.elf, counter=folder / "count") as emulation:
        yield _InQemu(emulation, folder)


def _trained(
    url: str, folder: Path, plan: Plan, rows: np.ndarray, steps: int, count: Callable[[], int]
) -> tuple[bytes, int]:
    """Parameters and moments after the steps, and the instructions of one by what `count` says of all so far."""
    region = Region.collocation if plan.pde else Region.batch
    with open_device(url, folder) as device:
        if not plan.pde:
            device.write_batch(rows[: plan.batch])
        before = count()
        for _ in range(steps):
            device.step(region)
        taken = count() - before
        return device.parameters().tobytes() + device.moments().tobytes(), taken // steps


def _stack_seen(stack: bytes) -> int:
    """Bytes of stack that were ever written: of what startup.c painted, all that is painted no more."""
    written = np.flatnonzero(np.frombuffer(stack, "<u4") != STACK_PAINT)
    return len(stack) - 4 * int(written[0]) if len(written) else 0
