# SPDX-License-Identifier: MIT
"""What the zoo costs on a board stays what is written down: instructions, flash and RAM within 2 %."""

import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="needs the extra `bench`")
if not shutil.which("arm-none-eabi-gcc"):
    pytest.skip("needs the Arm cross compiler", allow_module_level=True)

sys.path.append(str(Path(__file__).parents[1] / "vectors"))
import zoo_counts

STORED = json.loads(zoo_counts.PATH.read_text(encoding="utf-8"))
LIMIT = 0.02  # what decision 19 allows; a larger change, up or down, is written into the file with its reason


def name(each: dict) -> str:
    return "-".join(each["case"].values())


def test_the_file_holds_all_cases():
    assert [each["case"] for each in STORED["cases"]] == list(zoo_counts.cases())


@pytest.mark.parametrize("each", STORED["cases"], ids=name)
def test_costs_stay_within_two_percent_of_the_stored_ones(each):
    if (found := zoo_counts.compiler()) != STORED["compiler"]:
        pytest.skip(f"the stored counts are of {STORED['compiler']}, here is {found}")
    costs, stored = zoo_counts.record(each["case"]), each["costs"]
    assert costs.keys() == stored.keys()
    changed = {
        cost: (stored[cost], costs[cost])
        for cost in stored
        if costs[cost] != stored[cost] and (cost == "refused" or abs(costs[cost] / stored[cost] - 1) > LIMIT)
    }
    assert not changed, "write the counts anew with tests/vectors/zoo_counts.py if this is on purpose"
