# SPDX-License-Identifier: MIT
"""The Raspberry Pi Pico's firmware trains digits over its serial port to the bits of this machine, in the npm emulator
rp2040js (`npm install rp2040js` in the user's home, or a folder in RP2040JS)."""

import numpy as np
import pytest
from firmware import needs_compiler

from ttzo.device_runtime.contract import Region, TtzoError
from ttzo.exporter.export import plan_of
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import rp2040
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.measure.board_check import STACK_PAINT

STEPS = 3


def is_installed():
    try:
        return bool(rp2040.package())
    except TtzoError:
        return False


pytestmark = pytest.mark.skipif(not is_installed(), reason="not found: node, or the npm package rp2040js")


def trained(url, folder, rows):
    with open_device(url, folder) as device:
        device.write_batch(rows)
        for _ in range(STEPS):
            device.step(Region.batch)
        return device.parameters().tobytes(), device.moments().tobytes()


@needs_compiler
def test_a_pico_trains_digits_to_the_bits_of_this_machine(tmp_path):
    board = boards.load("pico")
    plan = plan_of("digits", room=board.room, estimator="node_cge", batch=4, ranks=2)
    (tmp_path / BUNDLE).write_bytes(to_bundle.write(plan))
    for name, text in c_files(plan).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    report = build.build(tmp_path, board)
    rows = data_set.load("digits", plan).train_rows[: plan.batch]
    with rp2040.emulated(board, report.bin) as pico:
        there = trained(pico.url, tmp_path, rows)
        assert pico.instructions() > STEPS * 1_000_000  # soft float
        painted = np.frombuffer(pico.memory(board.ram_origin, board.stack_bytes), "<u4") == STACK_PAINT
    assert 0 < 4 * int(np.argmin(painted)) < board.stack_bytes - 1000
    assert there == trained("native:", tmp_path, rows)
    assert there[0] != plan.parameters.tobytes()
