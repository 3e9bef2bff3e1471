# SPDX-License-Identifier: MIT
"""The commands that count cuts and kills (docs/security.md), each on a few of them."""

import re
import subprocess
import sys
from pathlib import Path

import many_steps
import nvmc_cuts
from firmware import needs_compiler, needs_qemu

SUPPORT = Path(__file__).parents[1] / "support"


@needs_compiler
@needs_qemu
def test_cuts_of_a_write_into_the_emulated_flash_leave_the_generation_before():
    seen = nvmc_cuts.run(every=401, n_slots=1)
    assert seen.cuts == seen.whole == seen.same == 4  # after the erase, and after bytes 0, 401 and 802


def test_a_run_whose_host_is_killed_goes_on_to_the_same_bits():
    """In a process of its own: it forks."""
    command = [sys.executable, SUPPORT / "kill_loop.py", "--kills", "1", "--steps", "60"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout.splitlines()
    kills, same, runs = map(int, re.fullmatch(r"(\d+) kills: (\d+) of (\d+) runs in the same bits", said[-1]).groups())
    assert kills == 1 and same == runs >= 1


def test_neither_side_of_the_link_grows_by_steps(native_executable, tmp_path, monkeypatch):
    monkeypatch.setattr(many_steps, "STEPS_OF_A_CONNECTION", 100)
    early, late = many_steps.run(2000, native_executable, tmp_path)
    assert min(early) > 0 and all(after - before < 64 << 10 for before, after in zip(early, late, strict=True))
