# SPDX-License-Identifier: MIT
"""frozen_features: the same bits in C and NumPy, units that bend inside the box, a linear equation's solution in one sweep."""

import math

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime
from test_coordinate_gn import dense_plan, wave
from test_systems import plan_of, system

from ttzo.device_runtime.contract import LIMIT, Activation, Region
from ttzo.exporter import pde
from ttzo.exporter.costs.cost import evaluations_a_step
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.parts import parts_of
from ttzo.host_tools.reference.equations import frozen_features
from ttzo.host_tools.reference.train.trainer import Trainer

(PHASE,) = train_defaults.default_phases("frozen_features")
SWEEP = 2 * LIMIT["feature_scales"]  # along all coordinates, and along one


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.mark.parametrize("kind", [Activation.tanh, Activation.sine])
@pytest.mark.parametrize("timed", [True, False])
def test_c_and_numpy_try_the_same_units(core, kind, timed):
    plan = plan_of(system(timed), PHASE, kind, (9,))
    device, twin = Runtime(core, plan), Trainer(plan)
    for _ in range(LIMIT["feature_scales"] + 1):
        a, b = (trainer.step(Region.collocation) for trainer in (device, twin))
        assert (a.loss, a.gradient_norm, a.evaluations) == (b.loss, b.gradient_norm, b.evaluations)
        assert a.evaluations == evaluations_a_step(plan, PHASE) and a.macs == b.macs
        assert device.theta.tobytes() == twin.theta.tobytes()


def cooling() -> pde.Problem:
    """u_t = u_xx / 10 from sin(pi x), 0 on the walls."""
    return pde.Problem(
        space=[(0.0, 1.0)],
        time=(0.0, 1.0),
        residual=lambda p: p.u_t - 0.1 * p.lap,
        conditions=[
            pde.on_faces(lambda p: p.u, rows=30, weight=10.0),
            pde.at_start(lambda p: p.u - pde.sin(math.pi * p.x[0]), rows=30, weight=10.0),
        ],
        exact=lambda x, t: pde.exp(-0.1 * math.pi**2 * t) * pde.sin(math.pi * x[0]),
        rows=100,
    )


def test_one_sweep_finds_the_solution_of_a_linear_equation(core):
    plan = dense_plan(cooling(), (2, 40, 1), np.random.default_rng(0), PHASE)
    device, losses = Runtime(core, plan), []
    for _ in range(SWEEP + 1):
        losses.append(device.step(Region.collocation).loss)
    error, exact = device.solution_error(Region.collocation, 0, 500)
    assert math.sqrt(error / exact) < 4e-3  # 40 units of which none is fitted
    assert losses[-1] < 1e-3 * losses[0]


def test_units_bend_inside_the_box_and_half_the_steps_look_along_one_coordinate_and_time():
    plan = dense_plan(wave(), (3, 12, 1), np.random.default_rng(0), PHASE)
    low, high = (np.array(bound)[:, None] for bound in (plan.pde.low, plan.pde.high))
    for step in (0, 7, 8, 15):
        theta = frozen_features.drawn(plan, 5, step)
        w, bias = theta[:36].reshape(12, 3), theta[36:48]
        assert not theta[48:].any()
        centre, half = (low + high)[:, 0] / 2, (high - low)[:, 0] / 2
        reach = np.abs(w) @ half  # what a unit's argument can change by from the middle of the box
        assert (np.abs(w @ centre + bias) <= reach + 1e-5).all()
        assert ((w != 0).sum(1) == (2 if step >= 8 else 3)).all()
    wide, narrow = (np.abs(frozen_features.drawn(plan, 5, step)[:36]).mean() for step in (0, 7))
    assert 4 < narrow / wide < 64  # scales of 0.5 and 8


@pytest.mark.parametrize(
    ("widths", "kind", "words"),
    [((5, 4), Activation.tanh, "one dense hidden layer"), ((5,), Activation.relu, "tanh or sine units, not relu")],
)
def test_networks_that_it_does_not_work_on_are_refused(widths, kind, words):
    with pytest.raises(PlanError, match=f"{words}.*choose coordinate_gn"):
        plan_of(pde.Problem(space=[(0, 1)], residual=lambda p: p.grad[0] - p.u), PHASE, kind, widths)


def test_it_is_a_part():
    plan = dense_plan(cooling(), (2, 5, 1), np.random.default_rng(0), PHASE)
    assert {part.name for part in parts_of(plan)} == {"equations", "coordinates", "features"}
