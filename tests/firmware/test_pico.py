# SPDX-License-Identifier: MIT
"""The Raspberry Pi Pico's firmware trains digits over its serial port to the bits of this machine, in the npm emulator
rp2040js (`npm install rp2040js` in the user's home, or a folder in RP2040JS)."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from firmware import needs_compiler

from ttzo.device_runtime.contract import Region
from ttzo.exporter.export import plan_of
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.firmware import boards, build

BRIDGE = Path(__file__).parents[1] / "support" / "rp2040.mjs"
FOLDER = Path(os.environ.get("RP2040JS", Path.home() / "node_modules" / "rp2040js"))
STEPS = 3
pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not FOLDER.is_dir(), reason="not found: node, or the npm package rp2040js"
)


@contextlib.contextmanager
def emulated_pico(image, address):
    """URL of the serial port."""
    command = ["node", str(BRIDGE), str(FOLDER), str(image), hex(address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"socket://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


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
    with emulated_pico(report.bin, board.flash_origin) as url:
        there = trained(url, tmp_path, rows)
    assert there == trained("native:", tmp_path, rows)
    assert there[0] != plan.parameters.tobytes()
