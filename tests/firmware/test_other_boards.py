# SPDX-License-Identifier: MIT
"""The boards that the other tests leave out: each trains in its emulator to this machine's bits, over a link of its own
payload size, within the stack that was forecast."""

import shutil

import numpy as np
import pytest
from firmware import MAIN_BOARDS, needs_compiler, needs_qemu, small_plan
from plans import random_rows

from ttzo.device_runtime.contract import Arithmetic
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS
from ttzo.host_tools.measure.board_check import check_board

OTHERS = [name for name in boards.names() if name not in MAIN_BOARDS and boards.load(name).qemu_machine]


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("name", OTHERS)
def test_another_board_trains_to_the_bits_of_this_machine(name):
    board = boards.load(name)
    programs = (f"{board.toolchain}-gcc", CHIP_PORTS[board.port].emulator)
    if missing := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"not found: {' '.join(missing)}")
    plan = small_plan(Arithmetic[board.arithmetics[-1]])
    found = check_board(plan, board, random_rows(np.random.default_rng(2), plan, plan.batch), 3)
    assert found.equal
    assert found.ram_bytes <= board.ram_bytes and found.flash_bytes <= board.flash_bytes
    assert 1000 < found.stack_seen <= found.stack_forecast <= board.stack_bytes
    assert found.instructions > 4 * plan.batch * plan.macs  # more than the forward passes alone


def test_the_smallest_board_is_no_larger_than_its_chip():
    """nRF51822 QFAA data sheet: 256 KiB of flash, 16 KiB of RAM; QEMU would give more."""
    board = boards.load("microbit")
    assert (board.ram_bytes, board.flash_bytes) == (16 << 10, 256 << 10)
