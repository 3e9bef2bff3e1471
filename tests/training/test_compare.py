# SPDX-License-Identifier: MIT
"""Comparisons find the first step and place; bound and tolerance hold, and are not so wide that they mean nothing."""

import dataclasses
import shutil

import numpy as np
import pytest
from bundles import small_plan, write_bundle
from plans import random_plan, random_rows

from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.training import BY_UNITS, Training
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.measure import precision
from ttzo.host_tools.reference.equations import pde
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import compare

needs_cc = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", small_plan())


@pytest.fixture
def rows(bundle):
    return data_set.load(bundle / "rows.npz", small_plan())


@pytest.fixture
def against(bundle, rows):
    """Compares numpy: with another device (URL, or an emulator that is already running)."""

    def run(url, steps=8, **options):
        with open_device("numpy:", bundle) as a, open_device(url, bundle) as b:
            return compare.compare(a, b, rows, steps, **options)

    return run


@needs_cc
@pytest.mark.parametrize("every", [1, 3])
def test_native_and_numpy_end_in_the_same_bits(against, every):
    found = against("native:", every=every)
    assert found.agree and found.judged_by == "bits" and found.loss[0] == found.loss[1]


class Altered(Trainer):
    """A device that changes the lowest bit of some parameters in one step."""

    def __init__(self, plan, step, places, **options):
        super().__init__(plan, **options)
        self._step, self._places = step, places

    def step(self, region):
        result = super().step(region)
        if self.state.step == self._step:
            self.theta.view(np.uint32)[self._places] ^= 1
        return result


def test_one_bit_in_one_parameter_is_found_with_step_and_place(against):
    plan = small_plan()
    bias = plan.tensors[1]
    with serve(Altered(plan, 5, [bias.offset + 6]), "numpy") as emulator:
        found = against(emulator.url)
    assert not found.agree
    assert (found.parted.step, found.parted.after, found.parted.place) == (5, 4, f"{bias.name}[6]")
    assert found.parted.a != found.parted.b and np.float32(found.parted.a) == pytest.approx(found.parted.b, rel=2**-22)


def test_between_two_compared_steps_the_parting_is_bracketed(against):
    with serve(Altered(small_plan(), 5, [0, 11]), "numpy") as emulator:
        found = against(emulator.url, every=4)
    assert found.parted.after == 4 and 5 <= found.parted.step <= 8  # a loss may tell before step 8 does


class Tilted(NumpyNetwork):
    """Losses that are off by a thousandth."""

    def losses(self, theta, x, targets):
        return super().losses(theta, x, targets) * np.float32(1.001)


def test_onnx_agrees_within_the_bound_and_a_wrong_network_does_not(against):
    found = against("onnx:")
    assert found.agree and found.judged_by == "bound" and found.compared == 8
    assert 0 <= found.worst <= 1 and found.difference <= found.bound and found.drift < 1e-3
    with serve(Trainer(small_plan(), Tilted(small_plan())), "onnx") as emulator:
        wrong = against(emulator.url)
    assert not wrong.agree and (wrong.parted.step, wrong.parted.place) == (1, "loss")


@pytest.mark.parametrize("estimator", sorted(BY_UNITS))
def test_onnx_shares_no_work_and_is_believed_when_it_says_so(tmp_path, estimator):
    plan = small_plan()
    phase = dataclasses.replace(plan.training.phases[0], estimator=estimator)
    plan = plan.with_training(dataclasses.replace(plan.training, phases=(phase,)))
    bundle = write_bundle(tmp_path / "units", plan)
    rows = data_set.load(bundle / "rows.npz", plan)
    with open_device("numpy:", bundle) as a, open_device("onnx:", bundle) as b:
        found = compare.compare(a, b, rows, 2)
        assert found.agree and found.judged_by == "bound"
        spent = [device.state().evaluations for device in (a, b)]
    assert spent == [2 * (1 + 8 + 3), 2 * (1 + plan.n_parameters)]  # units, and coordinates


def test_with_onnx_only_each_kth_step_is_compared(against):
    assert against("onnx:", steps=10, every=4).compared == 4  # steps 1, 5, 9 and the last


# ---- precision -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_float32_losses_of_random_networks_lie_within_the_bound_of_float64(seed):
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, Training())
    x, targets = Trainer(plan)._decode(random_rows(rng, plan, 16))
    found = NumpyNetwork(plan).losses(plan.parameters, x, targets).astype(float).mean()
    exact = precision.losses64(plan, plan.parameters, x, targets).mean()
    bound = precision.loss_bound(plan, plan.parameters, x, targets)
    assert abs(found - exact) <= bound / 2  # the bound is for two float32 evaluations
    assert bound < 0.01 * (1 + abs(exact))  # and still tells a real difference


def test_the_noise_forecast_grows_as_the_radius_shrinks():
    plan = small_plan()
    x = np.random.default_rng(0).random((8, 6), np.float32)
    y = np.arange(8) % 3

    def noise(mu):
        phase = dataclasses.replace(plan.training.phases[0], perturb_radius=mu)
        return precision.difference_noise(plan.with_training(Training((phase,))), x, y)

    wide, narrow = noise(1e-2), noise(1e-5)
    assert wide.relative < 1e-3 < narrow.relative  # the rounding of a loss near 1 is 6e-8: 1e-5 of 1e-2, 1e-2 of 1e-5
    assert wide.difference == pytest.approx(1e3 * narrow.difference, rel=0.1)  # linear in mu except for the curvature


@pytest.mark.parametrize("name", ["allen-cahn", "darcy"])
def test_the_tolerance_of_residuals_tells_a_wrong_laplacian_from_rounding(name, monkeypatch):
    pytest.importorskip("torch")
    plan = plan_of(name)
    points, right = pde.training_points(plan, 0, 0), pde.derive

    def loss() -> float:
        return float(np.square(pde.residuals(plan, plan.parameters, points, 0, 0), dtype=np.float64).mean())

    def wrong(*arguments):
        found = right(*arguments)
        if found.laplacian is not None:
            found.laplacian = found.laplacian * np.float32(1.001)
        return found

    exact, tolerance = loss(), precision.residual_tolerance(plan, plan.parameters, 0, 0)
    monkeypatch.setattr(pde, "derive", wrong)
    assert abs(loss() - exact) > tolerance
