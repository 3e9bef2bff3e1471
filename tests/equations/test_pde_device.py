# SPDX-License-Identifier: MIT
"""A PDE on devices: written by a person in a file, in no zoo, without a line of C."""

import numpy as np
import pytest

from ttzo.device_runtime.contract import Region
from ttzo.exporter import zoo
from ttzo.exporter.export import export, plan_of
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import baselines
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.training import compare, measurement, session

pytest.importorskip("torch")

WAVE = """
import math
import torch
from ttzo.exporter import pde

def wave(seed=0):
    problem = pde.Problem(
        space=[(0, 1)],
        time=(0, 1),
        residual=lambda p: p.u_tt - p.lap,
        solution=lambda n, x, t: pde.sin(math.pi * x[0]) + t * t * x[0] * (1 - x[0]) * n,
        exact=lambda x, t: pde.sin(math.pi * x[0]) * pde.cos(math.pi * t),
        rows=20,
    )
    net = torch.nn.Sequential(torch.nn.Linear(2, 24), torch.nn.Tanh(), torch.nn.Linear(24, 1))
    return net, {"problem": problem, "estimator": "last_layer_gn", "n_queries": 4, "steps": 30, "schedule": "linear"}
"""


@pytest.fixture(scope="module")
def wave(tmp_path_factory):
    """The bundle folder of a user's own PDE."""
    folder = tmp_path_factory.mktemp("wave")
    (folder / "wave.py").write_text(WAVE, encoding="utf-8")
    export(f"{folder / 'wave.py'}:wave", folder / "bundle")
    return folder / "bundle"


def test_a_pde_in_a_file_trains_on_the_device_to_its_solution(wave):
    with open_device("native:", wave) as device:
        points = data_set.load(None, device.plan)
        run = session.train(device, points, wave / "run")
        # far below the best constant (MSE 0.034) and the best affine function (1.1e-3) in the network's place
        reached = baselines(device.plan, points.x_test, points.y_test)
        assert run.test.loss < 0.1 * min(reached.values())


@pytest.mark.parametrize(("other", "judged_by"), [("numpy:", "bits"), ("onnx:", "tolerance")])
def test_a_pde_trains_alike_on_other_devices(wave, other, judged_by):
    with open_device("native:", wave) as a, open_device(other, wave) as b:
        found = compare.compare(a, b, data_set.load(None, a.plan), 4)
        assert found.agree and found.judged_by == judged_by


def test_the_device_measures_what_the_host_computes(wave):
    with open_device("native:", wave) as device:
        points = data_set.load(None, device.plan)
        measured = device.evaluate(measurement.test_subset(points, 1000))
        told = device.predict(points.x_test[:40])[:, 0]
        exact = np.sin(np.pi * points.x_test[:, 0]) * np.cos(np.pi * points.x_test[:, 1])
        np.testing.assert_allclose(points.y_test[:, 0], exact, atol=1e-6)  # float32
        assert measured.n_rows == 1000
        assert np.isclose(((told - exact[:40]) ** 2).mean(), measured.loss, rtol=1.0)  # 40 of the same kind of points


def test_rows_of_another_loss_are_refused(wave):
    with open_device("native:", wave) as device, pytest.raises(Exception, match="length or a field"):
        device.step(Region.batch)


@pytest.mark.parametrize("name", [name for name in zoo.names() if zoo.get(name).problem is not None])
def test_the_zoo_s_references_solve_their_equations_better_than_simple_functions(name):
    """Every PDE of the zoo knows its solution, and neither a constant nor an affine function is it (except hjb20, whose
    network is the constant 1 in the exact solution)."""
    if name == "hjb20-mlp":
        pytest.skip("the same equation as hjb20, on a dense network of 608,257 parameters")
    plan = plan_of(name)
    points = data_set.load(None, plan)
    found = baselines(plan, points.x_test, points.y_test)
    assert len(points.x_test) == 1000
    if name.startswith("hjb20") and name != "hjb20-lq":
        assert found["constant"] < 1e-10
    else:
        assert found["affine"] > 1e-9 and found["affine"] <= found["constant"]
