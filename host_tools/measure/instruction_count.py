# SPDX-License-Identifier: MIT
"""Counts the instructions that a board's firmware executes, exactly, by running its image in Unicorn (a CPU emulator
without devices). Needs the package `unicorn`: `pip install 'ttzo[bench]'`.

The firmware boots by itself up to its link; then its own functions are called one by one. Instructions are not
cycles: no emulator at hand models the pipeline or flash waits.
"""

import bisect
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime.contract import DeviceError, TtzoError
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.build import BuildReport
from ttzo.host_tools.firmware.firmware_image import Image

try:
    import unicorn
    from unicorn import arm_const
except ImportError as missing:
    raise TtzoError("counting instructions needs the package unicorn", "pip install 'ttzo[bench]'") from missing

PAGE = 4096
SYSTEM_CONTROL = 0xE000E000  # the core's own registers; startup writes VTOR and CPACR there
STACK_PAINT = 0xC0DEC0DE  # of ports/serial/serial.h
HOST = 0xD0000000  # memory that no board has, for what the host hands over and gets back
HOST_BYTES = 1 << 20


CORES = {
    "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
}  # that Unicorn emulates, by gcc's name


def core_of(board: Board) -> str:
    """The board's core by gcc's name; empty where its flags name none."""
    return next((flag.removeprefix("-mcpu=") for flag in board.cpu_flags if flag.startswith("-mcpu=")), "")


def _cpu_model(board: Board) -> int:
    if core_of(board) not in CORES:
        raise TtzoError(
            f"Unicorn does not emulate the core of {board.name} ({core_of(board)})",
            f"count on a board with one of: {', '.join(CORES)}",
        )
    return CORES[core_of(board)]


class BudgetSpent(Exception):
    """More instructions were executed than were allowed."""


@dataclass
class Tally:
    """Instructions executed while it was open; `by_function` names where."""

    instructions: int = 0
    by_function: Counter = field(default_factory=Counter)


class Machine:
    """A Cortex-M with the firmware of `report` in flash, booted up to its link; registers and RAM as the firmware left
    them. Raises `DeviceError` when the firmware refuses its model."""

    def __init__(self, board: Board, report: BuildReport):
        self.board, self._image = board, Image(report.elf, board.toolchain)
        self.symbols = self._image.symbols
        self._starts = sorted(self._image.functions)
        self._blocks: Counter = Counter()  # (address, bytes) of a straight run of instructions -> times executed
        self._lengths: dict[tuple[int, int], int] = {}
        self._left = -1  # instructions until the budget is spent; negative: no budget
        self._watched: int | None = None  # see counting()
        self._return: int | None = None
        self._kept: Counter | None = None
        self._stops = False
        self._cpu = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._cpu.ctl_set_cpu_model(_cpu_model(board))
        memory = {
            board.flash_origin: board.flash_bytes,
            board.ram_origin: board.ram_bytes,
            SYSTEM_CONTROL: PAGE,
            HOST: HOST_BYTES,
        }
        for origin, size in memory.items():
            self._cpu.mem_map(origin, -(-size // PAGE) * PAGE)
        self._flash = report.bin.read_bytes()
        self._cpu.mem_write(board.flash_origin, self._flash)
        self.trainer = self._boot()
        self._cpu.ctl_flush_tb()  # type: ignore[attr-defined]  # made at run time
        self._cpu.hook_add(unicorn.UC_HOOK_BLOCK, self._enter_block)

    # ---- running

    def _boot(self) -> int:
        """Runs the firmware from reset until it has opened its model. The address of its trainer."""
        cpu = self._cpu
        cpu.reg_write(arm_const.UC_ARM_REG_SP, self.symbols["ttzo_stack_top"])
        cpu.emu_start(self.symbols["Reset_Handler"] | 1, self.symbols["ttzo_open"] & ~1)
        trainer = cpu.reg_read(arm_const.UC_ARM_REG_R0)
        cpu.emu_start(cpu.reg_read(arm_const.UC_ARM_REG_PC) | 1, self.symbols["ttzo_link_init"] & ~1)
        error, detail = struct.unpack("<II", cpu.mem_read(cpu.reg_read(arm_const.UC_ARM_REG_SP), 8))
        if error:
            raise DeviceError.from_code(error, detail)
        return trainer

    def call(self, function: str, *arguments: int, budget: int | None = None) -> None:
        """Calls a function of the firmware that returns an `enum ttzo_error`; a last argument, a pointer to the
        error's detail, is added. Raises `DeviceError`, and `BudgetSpent` after about `budget` instructions."""
        words = [*arguments, HOST]
        registers = (arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R1, arm_const.UC_ARM_REG_R2, arm_const.UC_ARM_REG_R3)
        on_stack = words[len(registers) :]
        stack = (self.symbols["ttzo_stack_top"] - 4 * len(on_stack)) & ~7
        self._cpu.mem_write(stack, struct.pack(f"<{len(on_stack)}I", *on_stack))
        for register, word in zip(registers, words, strict=False):
            self._cpu.reg_write(register, word)
        self._cpu.reg_write(arm_const.UC_ARM_REG_SP, stack)
        end = self.symbols["Reset_Handler"] & ~1
        self._cpu.reg_write(arm_const.UC_ARM_REG_LR, end | 1)
        self._left = -1 if budget is None else budget
        self._cpu.emu_start(self.symbols[function] | 1, end)
        if self._left == 0:
            raise BudgetSpent
        if self._stops and self._kept is not None:
            return
        if error := self._cpu.reg_read(arm_const.UC_ARM_REG_R0):
            raise DeviceError.from_code(error, struct.unpack("<I", self.read(HOST, 4))[0])

    @property
    def host(self) -> int:
        """Address of `HOST_BYTES` less 8 for the host's own use: no memory of the board."""
        return HOST + 8

    def read(self, address: int, count: int) -> bytes:
        return bytes(self._cpu.mem_read(address, count))

    def write(self, address: int, data: bytes) -> None:
        self._cpu.mem_write(address, data)

    @cache  # noqa: B019 a machine lives as long as its bench
    def field_offset(self, record: str, field: str) -> int:
        """Bytes from the beginning of a C struct of ttzo.h to one of its fields, as the board's compiler lays it out."""
        text = f'#include "ttzo.h"\nchar field[offsetof({record}, {field}) + 1];\n'
        with tempfile.TemporaryDirectory(prefix="ttzo-bench-") as folder:
            made = Path(folder) / "field.o"
            command = [
                f"{self.board.toolchain}-gcc",
                *self.board.cpu_flags,
                f"-I{RUNTIME}",
                "-x",
                "c",
                "-c",
            ]
            subprocess.run([*command, "-o", str(made), "-"], input=text, text=True, check=True, capture_output=True)
            sizes = subprocess.run(
                [f"{self.board.toolchain}-nm", "-S", str(made)], text=True, check=True, capture_output=True
            ).stdout
        return int(sizes.split()[1], 16) - 1

    # ---- counting

    def _enter_block(self, _cpu, address: int, size: int, _data) -> None:
        if address == self._watched and self._return is None:
            self._return = self._cpu.reg_read(arm_const.UC_ARM_REG_LR) & ~1
            self._blocks.clear()
        elif address == self._return and self._kept is None:
            self._kept = Counter(self._blocks)
            if self._stops:
                self._cpu.emu_stop()
        self._blocks[address, size] += 1
        if self._left > 0:
            self._left = max(0, self._left - self._length(address, size))
            if self._left == 0:
                self._cpu.emu_stop()

    def _length(self, address: int, size: int) -> int:
        """Instructions in a block: Thumb code, 2 bytes each, or 4 when the first five bits are 11101, 1111x."""
        if (address, size) not in self._lengths:
            start = address - self.board.flash_origin
            halves = np.frombuffer(self._flash[start : start + size], "<u2")
            at = n = 0
            while at < len(halves):
                at += 2 if halves[at] >> 11 >= 0b11101 else 1
                n += 1
            self._lengths[address, size] = n
        return self._lengths[address, size]

    @contextmanager
    def counting(self, function: str | None = None, stops: bool = False) -> Iterator[Tally]:
        """Counts what is executed inside the `with`, or only in the first call of `function` there, callees included;
        the tally is filled in at its end. With `stops`, the call under way is left where `function` returns."""
        self._stops = stops
        self._watched = None if function is None else self.symbols[function] & ~1
        self._return = self._kept = None
        self._blocks.clear()
        tally = Tally()
        yield tally
        self._stops = False
        blocks = self._blocks if function is None else self._kept or Counter()
        for (address, size), times in blocks.items():
            n = times * self._length(address, size)
            tally.instructions += n
            tally.by_function[self._function_at(address)] += n

    def _function_at(self, address: int) -> str:
        at = bisect.bisect_right(self._starts, address) - 1
        return self._image.functions[self._starts[at]].name

    def stack_bytes(self) -> int:
        """Largest depth of the stack without interrupts, from the bytes that are no longer painted."""
        bottom, top = self.symbols["ttzo_stack_bottom"], self.symbols["ttzo_stack_top"]
        words = np.frombuffer(self.read(bottom, top - bottom), "<u4")
        used = np.flatnonzero(words != STACK_PAINT)
        return 4 * (len(words) - int(used[0])) if len(used) else 0
