# SPDX-License-Identifier: MIT
"""A budget chooses fold and ranks: what comes out keeps within it and wastes little; what is impossible is refused."""

import pytest

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.choose.budget import NEAR
from ttzo.exporter.costs import memory
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError


@pytest.mark.parametrize("parameters", [4000])
def test_a_parameter_budget_is_used_and_kept(parameters):
    plan = plan_of("mnist-mlp", budget=f"parameters={parameters}")
    assert 0.9 * parameters < plan.n_parameters <= parameters
    # of as many parameters, those with a narrow middle bond are cheaper than the 3962 of rank 6 all over
    assert plan.macs < plan_of("mnist-mlp", ranks=6, estimator="cge").macs


def test_an_operation_budget_is_kept_and_gives_more_parameters_when_it_grows():
    plans = [plan_of("digits", budget=f"macs={macs}") for macs in (1500, 3000, 6000)]
    assert all(plan.macs <= macs for plan, macs in zip(plans, (1500, 3000, 6000), strict=True))
    assert plans[0].n_parameters < plans[1].n_parameters < plans[2].n_parameters


def test_a_memory_budget_counts_what_the_estimator_keeps():
    plans = {name: plan_of("digits", budget="ram=24000", estimator=name) for name in ("rge", "cge")}
    assert all(memory.work_bytes(plan) <= 24000 for plan in plans.values())
    assert plans["cge"].n_parameters < plans["rge"].n_parameters


def test_several_budgets_hold_at_once():
    plan = plan_of("digits", budget="parameters=900,macs=3000")
    assert plan.n_parameters <= 900 and plan.macs <= 3000
    assert plan.n_parameters > NEAR * 500  # rank 2 of the model's own fold has 500 or so and keeps within both


def test_the_chosen_network_is_drawn_from_the_seed():
    plans = [plan_of("digits", budget="parameters=700", seed=seed) for seed in (1, 1, 2)]
    assert plans[0].parameters.tobytes() == plans[1].parameters.tobytes() != plans[2].parameters.tobytes()
    assert plans[0].metadata["overrides"]["budget"] == "parameters=700"


def test_a_users_model_keeps_its_other_layers(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom ttzo.nn import TTLinear\n"
        "def make(): return torch.nn.Sequential(TTLinear(64, 48, ranks=1, bias=False), torch.nn.Tanh(), torch.nn.Linear(48, 3))\n"
    )
    plan = plan_of(f"{tmp_path / 'mine.py'}:make", budget="parameters=1000")
    first, last = plan.layers
    assert plan.n_parameters <= 1000 and max(first.ranks) > 1 and not first.has_bias
    assert last.n_parameters == 48 * 3 + 3


@pytest.mark.parametrize("budget", ["4000", "weights=3", "parameters=", "parameters=0", "parameters=1e4", "macs=1,ram"])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(PlanError, match="budget") as caught:
        plan_of("digits", budget=budget)
    assert caught.value.hint


def test_what_no_rank_can_keep_is_refused_with_a_next_step(tmp_path):
    with pytest.raises(PlanError, match="no choice of fold and ranks stays within parameters 10") as caught:
        plan_of("digits", budget="parameters=10")
    assert caught.value.hint
    (tmp_path / "dense.py").write_text("import torch\ndef make(): return torch.nn.Linear(4, 2)\n")
    with pytest.raises(TtzoError, match="ranks of TTLinear layers"):
        plan_of(f"{tmp_path / 'dense.py'}:make", budget="parameters=10")
