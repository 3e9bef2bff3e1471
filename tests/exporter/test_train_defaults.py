# SPDX-License-Identifier: MIT
"""Friendly names of training methods, and overrides that keep or replace what stood before."""

import dataclasses
import itertools

import pytest

from ttzo.device_runtime.contract import Difference, Direction, Estimator, Schedule, Update
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.train_defaults import (
    ESTIMATORS,
    GAUSS_NEWTON,
    LEARNING_RATES,
    default_phases,
    estimator_name,
    overridden,
)
from ttzo.exporter.plan.training import Phase, Training


def kinds(training):
    return [(phase.estimator, phase.update) for phase in training.phases]


def test_names_stand_for_the_papers_methods():
    rge, cge = Estimator.rge, Estimator.cge
    assert [(p.estimator, p.update) for p in default_phases("sign_rge")] == [(rge, Update.sign)]
    assert [(p.estimator, p.update) for p in default_phases("hybrid")] == [
        (rge, Update.sign),
        (cge, Update.ema_momentum),
    ]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_training_is_called_what_it_was_made_from(name):
    assert estimator_name(Training(default_phases(name))) == name


def test_every_pair_of_estimator_and_update_has_a_learning_rate():
    gauss_newton = {(estimator, Update.sgd) for estimator in GAUSS_NEWTON}
    others = set(Estimator) - set(GAUSS_NEWTON) - {Estimator.simulation_gn}  # a simulation has no rate
    assert set(LEARNING_RATES) == set(itertools.product(others, Update)) | gauss_newton


def test_no_settings_change_nothing():
    base = Training((Phase(learning_rate=0.123),), seed=5)
    assert overridden(base, {}) == base
    assert overridden(base, {"lr": None, "estimator": "rge", "update": "momentum"}) == base


def test_single_settings_keep_the_rest():
    base = Training((Phase(learning_rate=0.5, n_queries=7),), steps=9, schedule=Schedule.cosine)
    made = overridden(base, {"mu": 0.25, "seed": 3, "direction": "gaussian", "difference": Difference.antithetic})
    assert (
        made.phases[0].learning_rate == 0.5 and made.phases[0].n_queries == 7 and made.phases[0].perturb_radius == 0.25
    )
    assert made.phases[0].direction == Direction.gaussian and made.phases[0].difference == Difference.antithetic
    assert (made.seed, made.steps, made.schedule) == (3, 9, Schedule.cosine)


def test_another_estimator_brings_its_defaults_and_keeps_the_schedule():
    base = Training(default_phases("cge"), steps=9, warmup_steps=2)
    made = overridden(base, {"estimator": "hybrid"})
    assert made.phases == default_phases("hybrid") and (made.steps, made.warmup_steps) == (9, 2)


@pytest.mark.parametrize(
    ("base", "settings", "expected"),
    [
        ("cge", {"update": "adam"}, [(Estimator.cge, Update.adam)]),
        ("hybrid", {"update": "momentum"}, [(Estimator.rge, Update.sign), (Estimator.cge, Update.momentum)]),
        ("sign_rge", {"update": "momentum"}, [(Estimator.rge, Update.momentum)]),
        ("rge", {"update": "sign"}, [(Estimator.rge, Update.sign)]),
        ("rge", {"estimator": "sign_rge"}, [(Estimator.rge, Update.sign)]),
        ("cge", {"estimator": "sign_rge", "update": "sign"}, [(Estimator.rge, Update.sign)]),
    ],
)
def test_another_update_rule_replaces_the_last_phases(base, settings, expected):
    assert kinds(overridden(Training(default_phases(base)), settings)) == expected


def test_a_setting_may_differ_from_phase_to_phase():
    made = overridden(Training(default_phases("hybrid")), {"lr": (0.002, 0.3), "mu": 0.01})
    assert [phase.learning_rate for phase in made.phases] == [0.002, 0.3]
    assert [phase.perturb_radius for phase in made.phases] == [0.01, 0.01]


@pytest.mark.parametrize(
    "settings",
    [
        {"estimator": "spsa"},
        {"estimator": "sign_rge", "update": "adam"},
        {"update": "rmsprop"},
        {"lr": -1},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"lr": "fast"},
        {"lr": (0.1, 0.1)},
        {"mu": 0},
        {"beta1": 1},
        {"n_queries": 0},
        {"n_queries": 2.5},
        {"steps": 0},
        {"steps": True},
        {"seed": -1},
        {"seed": 2**64},
        {"schedule": "zigzag"},
        {"plateau_patience": 2**16},
        {"momentum": 0.9},
    ],
)
def test_a_wrong_setting_is_named_with_what_can_be_given(settings):
    with pytest.raises(PlanError) as caught:
        overridden(Training(default_phases("rge")), settings)
    assert caught.value.hint and any(str(word) in str(caught.value) for word in (*settings, *settings.values()))


@pytest.mark.parametrize(
    ("estimator", "old", "new", "field", "value"),
    [
        ("cocd", "n_queries", "n_coordinates", "n_coordinates", 32),
        ("cocd", "beta2", "stale_decay", "stale_decay", 0.5),
        ("subspace_gn", "epsilon", "ridge", "ridge", 0.125),
        ("last_layer_gn", "epsilon", "ridge", "ridge", 0.125),
        ("subspace_gn", "clip", "trust_radius", "trust_radius", 0.5),
        ("last_layer_gn", "clip", "trust_radius", "trust_radius", 0.5),
    ],
)
def test_a_setting_that_has_a_name_of_its_own_is_refused_under_the_old_one(estimator, old, new, field, value):
    base = Training(default_phases(estimator))
    with pytest.raises(PlanError, match=f"{estimator} has no setting {old}") as caught:
        overridden(base, {old: value})
    assert f"use {new}" in caught.value.hint
    made = overridden(base, {new: value}).phases[0]
    assert (
        getattr(made, field) == value
        and dataclasses.replace(made, **{field: getattr(base.phases[0], field)}) == (base.phases[0])
    )


@pytest.mark.parametrize("name", ["n_coordinates", "stale_decay", "ridge", "trust_radius"])
def test_a_setting_of_another_estimator_is_refused(name):
    with pytest.raises(PlanError, match=f"rge has no setting {name}") as caught:
        overridden(Training(default_phases("rge")), {name: 1})
    assert "leave it out" in caught.value.hint


def test_adams_decay_stays_adams_with_cocd():
    made = overridden(Training(default_phases("cocd", Update.adam)), {"beta2": 0.5, "stale_decay": 0.25})
    assert (made.phases[0].beta2, made.phases[0].stale_decay) == (0.5, 0.25)
