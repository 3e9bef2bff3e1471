# SPDX-License-Identifier: MIT
"""Unknown constants and readings of an equation: the same bits in C and NumPy, values and refusals."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime

pytest.importorskip("torch")

from ttzo.device_runtime.contract import DeviceError, Region
from ttzo.exporter import pde
from ttzo.exporter.export import plan_of
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.equations import coordinate_columns
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.equations.derive import Noise, derive
from ttzo.host_tools.reference.train.trainer import Trainer

FILE = """
import torch
from ttzo import pde

READINGS = [(0.1 * k, 0.05 * k, 0.3 * k - 1, 2.0 * k) for k in range(9)]


def two(estimator="subspace_gn", **options):
    problem = pde.Problem(
        space=[(0, 1)],
        time=(0, 1),
        residual=lambda p: p.u_t - p.k * p.lap + p.c * p.u,
        unknowns={"k": 0.5, "c": pde.Unknown(-3.0, log=False)},
        conditions=[
            pde.on_faces(lambda p: p.u, rows=4),
            pde.at_readings(READINGS, lambda p: [p.u - p.measured[0], p.k * p.u_t - p.measured[1]], rows=4, weight=4.0),
        ],
        rows=6,
    )
    net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    return net, {"problem": problem, "estimator": estimator, "steps": 10, **options}


def by_last_layer():
    return two("last_layer_gn", n_queries=3)


def by_rge():
    return two("rge", n_queries=2)


def in_units():
    return two("coordinate_gn")
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("unknowns") / "two.py"
    made.write_text(FILE, encoding="utf-8")
    return made


@pytest.mark.parametrize("name", ["two", "by_last_layer", "by_rge", "in_units"])
def test_unknown_constants_train_to_the_same_bits_in_c_and_numpy(file, name, c_library):
    plan = plan_of(f"{file}:{name}")
    device, twin = Runtime(c_library(*CORE, extra=RUN), plan), Trainer(plan)
    for _ in range(4):
        a, b = (trainer.step(Region.collocation) for trainer in (device, twin))
        assert (a.loss, a.gradient_norm, a.evaluations) == (b.loss, b.gradient_norm, b.evaluations)
        assert device.theta.tobytes() == twin.theta.tobytes()
        assert device.moments.tobytes() == twin.moments.tobytes()
    assert (device.theta[-2:] != plan.parameters[-2:]).all()


def test_constants_start_at_their_values_and_a_bundle_keeps_their_names(file):
    plan = plan_of(f"{file}:two")
    assert plan.unknowns == ("k", "c") and [tensor.name for tensor in plan.tensors][-2:] == ["k", "c"]
    np.testing.assert_allclose(reference_pde.unknown_values(plan, plan.parameters), [0.5, -3.0], rtol=1e-6)
    again = to_bundle.read(to_bundle.write(plan))
    assert again.pde == plan.pde and again.unknowns == plan.unknowns
    assert len(again.pde.readings) == 9 and again.pde.n_measured == 2


def test_readings_follow_each_other_over_the_steps(file):
    plan = plan_of(f"{file}:two")
    rows = [own for group, own in reference_pde.groups_with_rows(plan) if group.n_faces == 0][1:]
    seen = []
    for step in range(9):
        points, measured = reference_pde.training_points(plan, 3, step), reference_pde.measured_numbers(plan, step)
        np.testing.assert_allclose(measured[0, rows[0]], 3 * points[0, rows[0]] - 1, atol=1e-6)
        np.testing.assert_allclose(measured[1, rows[1]], 20 * points[0, rows[1]], atol=1e-5)
        seen += list(points[0, rows[0]])
    values, counts = np.unique(np.round(seen, 5), return_counts=True)
    assert len(values) == 9 and (counts == 4).all()


def test_onnxruntime_computes_residuals_with_constants_and_readings(file):
    pytest.importorskip("onnxruntime")
    from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork

    plan = plan_of(f"{file}:two")
    points = reference_pde.training_points(plan, 3, 1)
    mine = reference_pde.residuals(plan, plan.parameters, points, 3, 1)
    theirs = OnnxNetwork(plan).residuals(plan.parameters, points, 3, 1)
    np.testing.assert_allclose(np.ravel(theirs), mine, rtol=1e-5, atol=1e-5)


def test_a_residual_follows_its_constant(file):
    """Of u_t - k lap + c u: by k and c as the equation says, in closed form."""
    plan = plan_of(f"{file}:two")
    inside = slice(0, 6)

    def at(k, c):
        theta = plan.parameters.copy()
        theta[-2:] = math.log(k), c / 3
        points = reference_pde.training_points(plan, 3, 0)
        return reference_pde.residuals(plan, theta, points, 3, 0)[inside]

    base, by_k, by_c = at(1.0, 1.0), at(2.0, 1.0), at(1.0, 2.0)
    both = at(2.0, 2.0)
    np.testing.assert_allclose(both - base, by_k - base + (by_c - base), atol=1e-5)
    assert np.abs(by_k - base).max() > 1e-3 and np.abs(by_c - base).max() > 1e-3


def test_columns_of_constants_are_the_terms_they_stand_before(file):
    """Of u_t - k lap + c u: by the logarithm of k it is -k lap, by c/3 (the unit of c is its start's size) 3 u."""
    plan = plan_of(f"{file}:in_units")
    points, theta = reference_pde.training_points(plan, 3, 0), plan.parameters
    _, columns = coordinate_columns.residuals_and_columns(plan, theta, points, 3, 0, np.float32(1e-3))
    needs = plan.pde.groups[0].condition.needs
    found = derive(plan, theta, len(plan.layers), needs, points[:, :6], Noise(3, 0, np.arange(6)))
    np.testing.assert_allclose(columns[-2, :6], -0.5 * found.laplacian[0], rtol=2e-3, atol=2e-4)  # mu, rounding / mu
    np.testing.assert_allclose(columns[-1, :6], 3 * found.value[0], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    "wrong", [{"units": (-1.0, 3.0)}, {"units": (math.inf, 3.0)}, {"readings": ((math.nan, 0.0, 0.0, 0.0),) * 9}]
)
def test_numbers_that_are_out_of_place_are_refused_by_the_device(file, wrong, c_library):
    plan = plan_of(f"{file}:two")
    changed = dataclasses.replace(plan, pde=dataclasses.replace(plan.pde, **wrong))
    with pytest.raises(DeviceError) as refused:
        Runtime(c_library(*CORE, extra=RUN), changed)
    assert refused.value.name == "bad_model"


def problem(**options) -> pde.Problem:
    return pde.Problem(**{"space": [(0, 1)], "residual": lambda p: p.lap - p.u} | options)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: problem(unknowns=["k"]), "not a dictionary"),
        (lambda: problem(unknowns={"u": 1.0}), "called 'u'"),
        (lambda: problem(unknowns={"k": -1.0}), "its logarithm is fitted"),
        (lambda: problem(unknowns={"k": 0}), "starts at 0"),
        (lambda: problem(unknowns={"k": pde.Unknown(math.nan)}), "starts at nan"),
        (lambda: problem(residual=lambda p: p.lap - p.q), "a point has no `q`"),
        (lambda: problem(residual=lambda p: p.lap - p.measured[0]), "nothing is measured here"),
        (lambda: problem(conditions=[pde.at_readings([(0.5,)])]), "a reading has 1 numbers, the point alone has 1"),
        (lambda: problem(conditions=[pde.at_readings([(0.5, 1.0)])] * 2), "two conditions have readings"),
        (lambda: problem(conditions=[pde.at_readings("log.csv")]), "no table of finite numbers"),
        (lambda: problem(conditions=[pde.at_readings([(0.5, math.nan)])]), "no table of finite numbers"),
    ],
)
def test_a_slip_in_constants_or_readings_is_a_sentence(made, words):
    with pytest.raises(pde.PdeError, match=words):
        pde.trace(made())
