# SPDX-License-Identifier: MIT
"""What cannot be is not kept, by the C core and by its twin alike: a step that would leave a parameter or moment that is not
finite, numbers and states from outside, and a step after the last that the counter can hold."""

import dataclasses
import zlib

import numpy as np
import pytest
from bundles import wave_plan
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    DeviceError,
    Difference,
    Estimator,
    LayerKind,
    Loss,
    Number,
    Region,
    Update,
)
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers.to_bundle import training_records
from ttzo.host_tools.data.data_set import pack_rows
from ttzo.host_tools.reference.train.trainer import START, Trainer

LARGEST = np.finfo(np.float32).max


@pytest.fixture(scope="session")
def core(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.fixture(params=["C", "NumPy"])
def make(request, core):
    return (lambda plan: Runtime(core, plan)) if request.param == "C" else Trainer


def plan_with(weight: float, phase: Phase) -> Plan:
    """Two inputs, one output, squared error. The first input is always 0, so that no loss tells of its weight."""
    layer = Layer("l", LayerKind.dense, 2, 1, 0)
    theta = np.array([weight, 0.5, 0.25], np.float32)
    return Plan.of_layers((layer,), theta, Loss.mse, Training((phase,), seed=3), batch=2, input_number=Number.float32)


def put(device, region: Region, content: bytes) -> None:
    device.write(region, 0, content)
    device.commit(region, len(content), zlib.crc32(content))


def fill(device) -> None:
    inputs, targets = np.array([[0, 1], [0, 2]], np.float32), np.array([[1], [-1]], np.float32)
    put(device, Region.batch, pack_rows(inputs, targets).tobytes())


def held(device) -> tuple[bytes, bytes, object]:
    return device.theta.tobytes(), device.moments.tobytes(), device.state


@pytest.mark.parametrize("estimator", [Estimator.rge, Estimator.cocd])
@pytest.mark.parametrize("update", list(Update))
def test_a_step_that_would_leave_a_parameter_infinite_is_not_taken(make, update, estimator):
    """The first weight stands at the end of float32. Random directions move it although no loss depends on it: towards 0
    it may go, outwards never. cocd estimates 0 for it and moves it as far as rules go on a gradient of 0: not at all."""
    phase = Phase(estimator, update=update, n_queries=3, n_coordinates=2, learning_rate=1e37, clip_norm=0.5)
    refused = []
    for sign in (1, -1):
        device = make(plan_with(sign * LARGEST, phase))
        fill(device)
        before = held(device)
        try:
            device.step(Region.batch)
            refused.append(False)
            assert np.isfinite(device.theta).all() and np.isfinite(device.moments).all()
        except DeviceError as error:
            assert (error.name, error.detail) == ("non_finite", 0)
            assert held(device) == before
            refused.append(True)
    assert sorted(refused) == ([False, True] if estimator == Estimator.rge else [False, False])


@pytest.mark.parametrize("update", [Update.momentum, Update.ema_momentum, Update.adam])
def test_a_step_that_would_leave_a_moment_infinite_is_not_taken(make, update):
    """Adam: a gradient of 1e20 has a square beyond float32. The others: moments at the end of float32, and a rate that
    makes the parameter infinite."""
    plan = plan_with(
        0.5, Phase(Estimator.cge_plain, update=update, learning_rate=3e38 if update != Update.adam else 1e-3)
    )
    device = make(plan)
    fill(device)
    put(device, Region.moments, np.full(plan.n_moments, 1e38, np.float32).tobytes())
    before = held(device)
    with pytest.raises(DeviceError, match="not finite at step 0"):
        device.step(Region.batch)
    assert held(device) == before
    put(device, Region.moments, bytes(4 * plan.n_moments))
    training = dataclasses.replace(
        plan.training, phases=(dataclasses.replace(plan.training.phases[0], learning_rate=1e-3),)
    )
    device.configure(*training_records(training))
    device.step(Region.batch)  # it is as able to go on as ever
    assert device.state.step == 1


def test_a_gauss_newton_step_at_any_rate_leaves_finite_parameters_and_the_twin_s_bits(core):
    plan = wave_plan()
    rough = Phase(
        Estimator.subspace_gn, update=Update.sgd, n_queries=4, learning_rate=3e38, difference=Difference.one_sided
    )
    plan = plan.with_training(dataclasses.replace(plan.training, phases=(rough,)))
    both = Runtime(core, plan), Trainer(plan)
    for _ in range(3):
        for device in both:
            device.step(Region.collocation)
        assert all(np.isfinite(device.theta).all() and np.isfinite(device.moments).all() for device in both)
        assert both[0].theta.tobytes() == both[1].theta.tobytes()
        assert both[0].moments.tobytes() == both[1].moments.tobytes()


@pytest.mark.parametrize("region", [Region.parameters, Region.moments])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_not_committed(make, region, value):
    device = make(plan_with(0.5, Phase(update=Update.momentum, n_queries=2)))
    before = held(device)
    with pytest.raises(DeviceError) as caught:
        put(device, region, np.array([0, 1, value], np.float32).tobytes())
    assert (caught.value.name, caught.value.detail) == ("bad_number", 2) and held(device) == before


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        (1, {"phase": 1}),
        (2, {"phase_start": 8}),
        (3, {"window_count": 51}),
        (4, {"window_sum": np.nan}),
        (4, {"window_sum": -np.inf}),
        (5, {"best_window": np.nan}),
        (6, {"windows_without_progress": 4}),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_its_field(make, field, changes):
    device = make(plan_with(0.5, Phase(n_queries=2)))  # windows of 50 steps, patience 3
    state = dataclasses.replace(START, step=7)
    device.set_state(state)
    with pytest.raises(DeviceError) as caught:
        device.set_state(dataclasses.replace(state, **changes))
    assert (caught.value.name, caught.value.detail) == ("bad_request", field) and device.state == state


def test_the_step_counter_ends_with_an_error_and_not_at_zero(make):
    device = make(plan_with(0.5, Phase(n_queries=2)))
    fill(device)
    device.set_state(dataclasses.replace(START, step=2**32 - 2))
    device.step(Region.batch)
    before = held(device)
    assert device.state.step == 2**32 - 1
    with pytest.raises(DeviceError) as caught:
        device.step(Region.batch)
    assert (caught.value.name, caught.value.detail) == ("last_step", 2**32 - 1) and held(device) == before
