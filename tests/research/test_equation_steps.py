# SPDX-License-Identifier: MIT
"""The page of equations says what its stored runs say, and a case can be run again."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
from ttzo.host_tools.research import equation_steps

PAGE = Path(__file__).parents[2] / equation_steps.PAGE


def test_the_page_is_made_of_the_stored_runs():
    found = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == equation_steps.page(found)


def test_the_network_without_an_output_bias_takes_its_steps_to_the_stored_errors():
    """Seed 0, four steps; the board's memory holds what the page says."""
    name = "hjb20, no output bias, 128 KiB"
    stored = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))[name][0]
    case = equation_steps.CASES[name]
    made = equation_steps.run(case, 0)
    same = ("mse", "evaluations", "brute_force", "work_bytes", "parameters", "coordinates")
    assert {key: made[key] for key in same} == {key: stored[key] for key in same}
    assert made["parameters"] == 3208 and made["work_bytes"] <= 121_856  # netduinoplus2's 128 KiB less stack and data
    assert made["mse"] <= case.target and made["evaluations"] <= case.evaluations
