# SPDX-License-Identifier: MIT
"""A setting is refused where no step reads it, and only there: training without it ends in the same bits."""

import dataclasses
import zlib

import numpy as np
import pytest
from bundles import small_plan, wave_plan
from plans import random_rows

from ttzo.device_runtime.contract import Difference, Direction, Estimator, Region, Update
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import GAUSS_NEWTON, Phase, Training
from ttzo.host_tools.reference.train.trainer import Trainer

OTHER = {  # than the defaults; as for a person, by the options' names
    "direction": Direction.gaussian,
    "difference": Difference.antithetic,
    "n_queries": 3,
    "mu": 0.02,
    "lr": 0.003,
    "beta1": 0.5,
    "beta2": 0.7,
    "epsilon": 1e-3,
    "clip": 1e-3,
    "n_coordinates": 7,
    "stale_decay": 0.5,
    "ridge": 0.3,
    "trust_radius": 1e-3,
}
OF_ROWS = [(estimator, update) for estimator in ("rge", "cocd") for update in Update] + [
    (estimator, update)
    for estimator in ("cge", "cge_plain", "node_cge", "chain_differences", "block_rge")
    for update in (Update.momentum, Update.sign)
]
OF_EQUATIONS = [(estimator.name, Update.sgd) for estimator in sorted(GAUSS_NEWTON)]
HIDDEN_BY_THE_SIGN = ("difference", "stale_decay")  # read, but an update by the sign seldom shows it


def bits_after_steps(plan: Plan, phase: Phase) -> bytes:
    plan = plan.with_training(dataclasses.replace(plan.training, phases=(phase,)))
    trainer = Trainer(plan, work_capacity=memory.work_bytes(plan) + plan.batch * plan.row_bytes)
    region = Region.collocation if plan.pde else Region.batch
    if region == Region.batch:
        rows = random_rows(np.random.default_rng(0), plan, plan.batch).tobytes()
        trainer.write(region, 0, rows)
        trainer.commit(region, len(rows), zlib.crc32(rows))
    norms = [trainer.step(region).gradient_norm for _ in range(3)]
    return trainer.theta.tobytes() + np.float32(norms).tobytes()


def is_accepted(base: Training, name: str) -> bool:
    try:
        train_defaults.overridden(base, {name: OTHER[name]})
    except PlanError as error:
        assert f"has no setting {name}" in str(error) and error.hint
        return False
    return True


@pytest.mark.parametrize(("estimator", "update"), OF_ROWS + OF_EQUATIONS)
def test_what_is_refused_changes_no_bit_and_what_is_accepted_does(estimator, update):
    plan = wave_plan() if Estimator[estimator] in GAUSS_NEWTON else small_plan()
    (phase,) = train_defaults.default_phases(estimator, update)
    rate, n_coordinates = min(phase.learning_rate, 0.01), min(phase.n_coordinates, 20)  # fewer than there are
    phase = dataclasses.replace(phase, learning_rate=rate, n_coordinates=n_coordinates)
    before = bits_after_steps(plan, phase)
    for name, value in OTHER.items():
        field = train_defaults.PHASE_SETTINGS[name]
        changes = bits_after_steps(plan, dataclasses.replace(phase, **{field: value})) != before
        accepted = is_accepted(Training((phase,)), name)
        if not (accepted and update == Update.sign and name in HIDDEN_BY_THE_SIGN):
            assert changes == accepted, name


@pytest.mark.parametrize("name", ["decay_every", "decay_factor"])
def test_a_decay_by_steps_is_of_its_schedule_alone(name):
    base = Training(train_defaults.default_phases("cge"))
    with pytest.raises(PlanError, match=f"schedule constant has no setting {name}") as caught:
        train_defaults.overridden(base, {name: 1})
    assert "schedule step" in caught.value.hint
    assert getattr(train_defaults.overridden(base, {name: 1, "schedule": "step"}), name) == 1


@pytest.mark.parametrize("name", ["plateau_window", "plateau_patience", "plateau_tolerance"])
def test_a_plateau_is_of_hybrid_alone(name):
    with pytest.raises(PlanError, match=f"cge has no setting {name}"):
        train_defaults.overridden(Training(train_defaults.default_phases("cge")), {name: 1})
    assert getattr(train_defaults.overridden(Training(), {name: 1, "estimator": "hybrid"}), name) == 1


def test_a_setting_that_one_phase_of_hybrid_reads_is_hybrids():
    base = Training(train_defaults.default_phases("hybrid"))
    assert train_defaults.overridden(base, {"n_queries": 5}).phases[0].n_queries == 5
    assert train_defaults.overridden(base, {"beta1": 0.5}).phases[1].beta1 == 0.5
    with pytest.raises(PlanError, match="update sign, ema_momentum has no setting beta2"):
        train_defaults.overridden(base, {"beta2": 0.5})
