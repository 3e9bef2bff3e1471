# SPDX-License-Identifier: MIT
"""Every zoo model, estimator, cache mode, arithmetic and derivative leaves the bits that were recorded on f720d3b."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "vectors"))
import zoo_bits

STORED = json.loads(zoo_bits.PATH.read_text(encoding="utf-8"))


def test_the_recorded_cases_are_those_of_today():
    assert [each["case"] for each in STORED["cases"]] == list(zoo_bits.cases())
    assert (STORED["steps"], STORED["batch"]) == (zoo_bits.STEPS, zoo_bits.BATCH)


@pytest.mark.parametrize("model", zoo_bits.MODELS)
def test_training_leaves_the_recorded_bits(model):
    stored = [each for each in STORED["cases"] if each["case"]["model"] == model]
    assert stored and [each["case"] for each in stored if zoo_bits.record(each["case"]) != each["left"]] == []
