# SPDX-License-Identifier: MIT
"""Where nothing is chosen, the estimator follows from the model's structure and from what a step costs, and a run's steps
from the number of its rows."""

import dataclasses

import pytest

from ttzo.device_runtime.contract import Estimator, Schedule, Update
from ttzo.exporter import export as exporting
from ttzo.exporter.choose import method
from ttzo.exporter.choose.method import BY_THE_DATA, with_steps
from ttzo.exporter.costs.memory import Room, work_bytes
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.train_defaults import ESTIMATORS, METHODS, steps_for

MODELS = """\
import torch
from ttzo.nn import TTLinear


class Residual(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, width), torch.nn.Linear(width, width)
        self.last = torch.nn.Linear(width, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(x + torch.relu(self.second(x)))


def chain():
    return torch.nn.Sequential(TTLinear(64, 32, ranks=3), torch.nn.ReLU(), torch.nn.Linear(32, 3))


def convolution():
    nn = torch.nn
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3))


def graph():
    return Residual(8), {"input_shape": (6,)}


def large_graph():
    return Residual(400), {"input_shape": (6,)}


def equation():
    from ttzo import pde

    problem = pde.Problem(
        space=[(0, 1)], residual=lambda p: p.lap + 1, solution=lambda n, x, t: x[0] * (1 - x[0]) * n, rows=8
    )
    return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)), {"problem": problem}


def adam():
    return chain(), {"update": "adam"}


def by_random_directions():
    return chain(), {"estimator": "rge"}
"""


@pytest.fixture
def plan_of(tmp_path):
    (tmp_path / "net.py").write_text(MODELS)
    return lambda name, **options: exporting.plan_of(f"{tmp_path / 'net.py'}:{name}", **options)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [
        ("chain", Estimator.node_cge),
        ("convolution", Estimator.cge),
        ("graph", Estimator.node_cge),
        ("large_graph", Estimator.rge),  # 166,803 loss evaluations a step
        ("equation", Estimator.coordinate_gn),
    ],
)
def test_structure_and_cost_choose_the_estimator(plan_of, name, estimator):
    (phase,) = plan_of(name).training.phases
    assert phase.estimator == estimator


def test_of_two_that_ask_every_coordinate_the_cheaper_is_chosen(plan_of, monkeypatch):
    prices = {Estimator.node_cge: 3.0, Estimator.cge: 2.0}
    monkeypatch.setattr(method, "most_instructions", lambda plan, phase: prices[phase.estimator])
    assert plan_of("chain").training.phases[0].estimator == Estimator.cge
    prices[Estimator.node_cge] = 1.0
    assert plan_of("chain").training.phases[0].estimator == Estimator.node_cge


def test_what_is_chosen_goes_before_the_table(plan_of):
    plain = plan_of("chain")
    assert (plain.batch, plain.training.schedule, plain.training.phases[0].clip_norm) == (32, Schedule.linear, 1.0)
    made = plan_of("chain", lr=0.5, batch=8, schedule="cosine", steps=77)
    assert (made.batch, made.training.schedule, made.training.steps) == (8, Schedule.cosine, 77)
    assert made.training.phases == (dataclasses.replace(plain.training.phases[0], learning_rate=0.5),)
    assert "steps" not in made.metadata and plain.metadata["steps"] == BY_THE_DATA
    (phase,) = plan_of("adam").training.phases
    assert (phase.estimator, phase.update, phase.clip_norm) == (Estimator.node_cge, Update.adam, 0.0)


def test_targets_that_are_numbers_have_a_rate_of_their_own(plan_of):
    rates = [plan_of("chain", loss=loss).training.phases[0].learning_rate for loss in ("cross_entropy", "mse")]
    assert rates == pytest.approx([0.1, 0.06])


def test_a_chosen_estimator_keeps_its_own_defaults(plan_of):
    made = plan_of("by_random_directions").training
    assert made.phases[0].estimator == Estimator.rge and (made.steps, made.schedule) == (1000, Schedule.constant)


def test_a_board_too_small_for_the_first_estimator_gets_the_next_that_fits(plan_of):
    least = {
        name: work_bytes(plan_of("chain", estimator=name, cache="int16_least", contractions="0"))
        for name in ("node_cge", "cge")
    }
    assert least["cge"] < least["node_cge"]
    (phase,) = plan_of("chain", room=Room("small", 1 << 20, least["cge"])).training.phases
    assert phase.estimator == Estimator.cge
    (phase,) = plan_of("chain", room=Room("large", 1 << 20, 1 << 20)).training.phases
    assert phase.estimator == Estimator.node_cge


def test_a_wrong_setting_is_refused_by_its_name(plan_of):
    with pytest.raises(PlanError, match="n_coordinates"):
        plan_of("chain", n_coordinates=8)


def test_a_zoo_model_keeps_its_own_training():
    assert exporting.plan_of("digits").training.phases[0].estimator == Estimator.cge


@pytest.mark.parametrize(("n", "batch", "steps"), [(60_000, 32, 5625), (1437, 32, 2000), (150, 32, 469), (3, 32, 10)])
def test_steps_follow_from_the_rows(n, batch, steps):
    """Three epochs of many rows, 64,000 rows of fewer, a hundred epochs of very few; the last batch counts whole."""
    assert steps_for(n, batch) == steps


@pytest.mark.parametrize(("n", "steps"), [(60_000, 5625), (30_000, 4000), (1437, 4000), (150, 938)])
def test_numbers_are_learned_for_twice_as_long_as_classes_where_epochs_are_not_few(n, steps):
    assert steps_for(n, 32, has_classes=False) == steps


def test_a_run_counts_its_steps_only_where_nobody_has(plan_of):
    counted, given = plan_of("chain"), plan_of("chain", steps=77)
    assert with_steps(counted, 1437).steps == 2000 and with_steps(counted, 3).warmup_steps == 1
    assert with_steps(counted, 1437, steps=300).warmup_steps == 30
    assert with_steps(given, 1437) == given.training


def test_the_table_names_estimators():
    assert {method.estimator for method in METHODS} <= set(ESTIMATORS)


def test_a_board_keeps_as_many_columns_as_fit_and_takes_random_directions_where_too_few_do(plan_of):
    whole = plan_of("equation", batch=20)  # 25 parameters, 20 rows
    needed = work_bytes(whole)
    assert whole.training.phases[0].n_coordinates > whole.n_coordinates == 25
    less = plan_of("equation", batch=20, room=Room("small", 10**6, needed - 1000))
    (phase,) = less.training.phases
    assert phase.estimator == Estimator.coordinate_gn and 5 <= phase.n_coordinates <= 25 - 1000 // (4 * 20)
    assert needed - 1500 <= work_bytes(less) <= needed - 1000
    least = plan_of("equation", batch=20, room=Room("tiny", 10**6, needed - 4 * 20 * 25))
    assert least.training.phases[0].estimator == Estimator.subspace_gn


def test_a_number_of_directions_is_a_wish_for_random_ones(plan_of):
    assert plan_of("equation", n_queries=4).training.phases[0].estimator == Estimator.subspace_gn
