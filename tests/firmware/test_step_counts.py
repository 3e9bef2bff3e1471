# SPDX-License-Identifier: MIT
"""Counted steps: what is stored covers the zoo, a case counted again costs what is stored, and forecasts come near."""

from pathlib import Path

import pytest
from firmware import needs_compiler, needs_qemu

from ttzo.exporter import zoo
from ttzo.exporter.costs import instructions
from ttzo.exporter.costs.instructions import Executed, mean_instructions, most_instructions
from ttzo.exporter.export import plan_of
from ttzo.exporter.export_again import changed
from ttzo.host_tools.measure import shapes, step_counts

STORED = step_counts.read(Path(__file__).parents[1] / "vectors" / "step_counts.json")
OF_ZOO = [each for each in STORED if each.model not in shapes.INPUTS]
LIMIT = 0.25  # the inner loops get faster; a count far off says that the table must be counted anew
NEAR = 0.15  # of a forecast
NEAR_NARROW = 0.25  # of one in caches of 16 bits by cge: one share for all networks


def case(count):
    return count.model, count.estimator, count.batch


def test_the_stored_cases_are_cases_of_today_each_once():
    stored, known = [case(each) for each in STORED], set(step_counts.cases())
    assert len(stored) == len(set(stored)) > 200 and set(stored) <= known
    assert all(each.mean <= each.most for each in STORED)


def test_every_model_that_a_board_can_hold_is_counted():
    assert set(zoo.names()) - {each.model for each in OF_ZOO} == {"hjb20-mlp"}  # 2.4 MB of parameters


@needs_compiler
@needs_qemu
def test_a_case_counted_again_costs_what_is_stored(tmp_path):
    (stored,) = (each for each in STORED if case(each) == ("vowels", "node_cge", 4))
    plan = step_counts.plan_of_case(*case(stored))
    found = step_counts.count(plan, case(stored), step_counts.rows_of_case(stored.model, plan), tmp_path)
    assert found.mean == pytest.approx(stored.mean, rel=LIMIT) and found.mean <= found.most
    assert (found.macs, found.evaluations) == (stored.macs, stored.evaluations)


@pytest.mark.parametrize("model", sorted({each.model for each in OF_ZOO}))
def test_forecasts_come_near_what_was_counted_and_ceilings_above(model):
    assert model in zoo.names()
    for each in (each for each in OF_ZOO if each.model == model and each.estimator not in step_counts.NARROW):
        plan = step_counts.plan_of_case(*case(each))
        phase = plan.training.phases[0]
        executed = Executed(each.macs, each.evaluations)
        assert mean_instructions(plan, phase, executed) == pytest.approx(each.mean, rel=NEAR), case(each)
        assert each.most <= most_instructions(plan, phase), case(each)


def test_the_orders_and_caches_that_a_person_may_choose_are_counted_too():
    """Core by core, a step of rge was forecast as if its products cost nothing; caches of 16 bits as if they were float32."""
    ways = {each.estimator for each in STORED if each.estimator in step_counts.OTHER_WAYS}
    assert ways == set(step_counts.OTHER_WAYS)
    cost = instructions.cost_of
    assert 1 < cost("evaluations", "core mac") < 20
    assert cost("node_cge", "awake sliced number") + cost("node_cge", "sliced number") > 1
    plan = plan_of("digits", estimator="cge", batch=4)
    (wide,) = (each for each in STORED if case(each) == ("digits", "cge", 4))
    for cache in ("int16", "int16_least"):
        (narrow,) = (each for each in STORED if case(each) == ("digits", f"cge in {cache}", 4))
        made = changed(plan, cache=cache)
        taken = mean_instructions(made, made.training.phases[0], Executed(wide.macs, wide.evaluations))
        assert taken == pytest.approx(narrow.mean, rel=NEAR_NARROW)
        assert narrow.most <= most_instructions(made, made.training.phases[0])


def test_what_a_family_has_not_counted_costs_what_the_dearest_other_one_pays():
    families = instructions.stored()["families"]
    name, feature = next(
        (name, feature)
        for name, each in families.items()
        for other in families.values()
        for feature in other["costs"]
        if feature not in each.get("features", ()) and feature not in each["costs"] and not feature.startswith("awake ")
    )
    dearest = max(each["costs"].get(feature, 0.0) for each in families.values())
    assert instructions.cost_of(name, feature) >= dearest > 0
    assert instructions.cost_of(name, "a thing that nobody has counted") == 0


@pytest.mark.parametrize("model", ["digits", "names-gpt", "hjb20-rank10", "mnist-100"])
def test_no_step_has_a_feature_that_was_counted_nowhere(model):
    plan = plan_of(model)
    assert not instructions.uncounted(plan, plan.training.phases[0])
