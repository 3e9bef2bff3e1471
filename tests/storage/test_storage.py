# SPDX-License-Identifier: MIT
"""Generations in two slots: cuts of the power at every byte, memories that fail, other models, and numbers that begin anew."""

import re
import subprocess
from pathlib import Path

import pytest

from ttzo.device_runtime import FOLDER, core_headers
from ttzo.device_runtime.contract import Part
from ttzo.exporter.plan.parts import SMALL
from ttzo.host_tools.firmware.build import for_this_machine, sources_of

HERE = Path(__file__).parent
PARTS = frozenset({Part.evaluations, Part.storage}) | SMALL
FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{FOLDER}", f"-DTTZO_PARTS={sum(PARTS):#x}u"]
CUTS = r"(\d+) cuts at (\d+) bytes, (\d+) whole; (\d+) runs, (\d+) same; (\d+) misused"


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the program prints: flash, rot, four odd cases, a memory that needs no erasing."""
    sources = [HERE / "flash_cuts.c", *sources_of(PARTS)]
    program = for_this_machine("flash-cuts", sources, core_headers(), FLAGS, [])
    ran = subprocess.run([program], check=True, capture_output=True, text=True, timeout=600)
    return ran.stdout.splitlines()


@pytest.mark.parametrize("line", [0, -1], ids=["flash", "no erasing"])
def test_a_cut_at_any_byte_of_a_slot_leaves_a_whole_generation_and_the_runs_bits(said, line):
    starts, n_bytes, whole, runs, same, misused = map(int, re.fullmatch(CUTS, said[line]).groups())
    assert n_bytes > 500 and runs == 3 * (n_bytes + 1)  # with none, one and two generations before
    assert whole == starts == 2 * runs and same == runs
    assert misused == 0  # each byte is written once after an erase, in whole words


def test_a_byte_that_rots_leaves_the_generation_before(said):
    n_bytes, found = map(int, re.fullmatch(r"(\d+) bytes rot, (\d+) times the generation before", said[1]).groups())
    assert n_bytes > 500 and found == n_bytes


def test_generations_begin_anew_after_the_last_number(said):
    assert said[2] == "after the last number 1 at step 2"


def test_a_run_of_another_model_is_left_alone(said):
    assert said[3] == "another model 0 at step 0"


def test_slots_that_are_too_small_and_memories_that_fail_are_reported(said):
    assert said[4:6] == ["small slots out_of_memory, size", "dead not_stored, worn not_stored, still 1"]
