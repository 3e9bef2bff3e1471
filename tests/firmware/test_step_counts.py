# SPDX-License-Identifier: MIT
"""Counted steps of the zoo: what is stored covers its models, and a case counted again costs what is stored."""

import json
from pathlib import Path

import pytest
from firmware import needs_compiler, needs_qemu

from ttzo.exporter import zoo
from ttzo.host_tools.data import data_set
from ttzo.host_tools.measure import step_counts

STORED = json.loads((Path(__file__).parents[1] / "vectors" / "step_counts.json").read_text(encoding="utf-8"))
LIMIT = 0.25  # the inner loops get faster; a count far off says that the table must be counted anew


def test_the_stored_cases_are_cases_of_today_each_once():
    stored = [(each["model"], each["estimator"], each["batch"]) for each in STORED]
    known = list(step_counts.cases())
    assert len(stored) == len(set(stored)) > 80 and set(stored) <= set(known)
    assert all(each["mean"] <= each["most"] for each in STORED)


@needs_compiler
@needs_qemu
def test_a_case_counted_again_costs_what_is_stored(tmp_path):
    case = ("vowels", "node_cge", 4)
    (stored,) = (each for each in STORED if (each["model"], each["estimator"], each["batch"]) == case)
    plan = step_counts.plan_of_case(*case)
    rows = data_set.load(zoo.get(case[0]).data, plan).train_rows
    found = step_counts.count(plan, case, rows, tmp_path)
    assert found.mean == pytest.approx(stored["mean"], rel=LIMIT) and found.mean <= found.most
