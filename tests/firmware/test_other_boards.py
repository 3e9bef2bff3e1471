# SPDX-License-Identifier: MIT
"""The boards that the other tests leave out: each trains in its emulator to this machine's bits, over a link of its own
payload size, within the stack that was forecast."""

import numpy as np
import pytest
from firmware import MAIN_BOARDS, needs_compiler, needs_qemu, small_plan, write_bundle
from plans import random_rows

from ttzo.device_runtime.contract import Arithmetic, Region
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.firmware import boards, build

STACK_PAINT = 0xC0DEC0DE  # of ports/cortex_m/cortex_m.h
OTHERS = [name for name in boards.names() if name not in MAIN_BOARDS]


def trained(url, bundle, plan):
    """Parameters after three steps."""
    with open_device(url, bundle) as device:
        device.write_batch(random_rows(np.random.default_rng(2), plan, plan.batch))
        for _ in range(3):
            device.step(Region.batch)
        return device.parameters().tobytes()


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("name", OTHERS)
def test_another_board_trains_to_the_bits_of_this_machine(tmp_path, name):
    board = boards.load(name)
    plan = small_plan(Arithmetic[board.arithmetics[-1]])
    bundle = write_bundle(tmp_path / "bundle", plan)
    on_board = trained(f"qemu:{name}", bundle, plan)
    assert on_board == trained("native:", bundle, plan)
    assert on_board != plan.parameters.tobytes()


@needs_compiler
@needs_qemu
def test_the_smallest_board_keeps_within_its_16_kilobytes(tmp_path):
    board, plan = boards.load("microbit"), small_plan()
    assert (board.ram_bytes, board.flash_bytes) == (16 << 10, 256 << 10)  # nRF51822 QFAA
    bundle = write_bundle(tmp_path / "bundle", plan)
    report = build.build(bundle, board)
    assert report.stack_capacity + report.static_bytes + report.work_needed <= board.ram_bytes
    with qemu.emulated(board, report.elf) as emulation:
        with open_device(emulation.url, bundle) as device:
            device.write_batch(random_rows(np.random.default_rng(2), plan, plan.batch))
            device.step(Region.batch)
        where = {"val": board.ram_origin, "size": board.stack_bytes, "filename": str(tmp_path / "stack")}
        emulation.ask("memsave", **where)  # as the core sees it: the RAM of this chip is its own
    words = np.fromfile(tmp_path / "stack", "<u4")
    used = board.stack_bytes - 4 * int(np.argmax(words != STACK_PAINT))
    assert 1000 < used <= report.stack_bytes
