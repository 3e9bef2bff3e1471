# SPDX-License-Identifier: MIT
"""Pictures of runs: of a PDE they show the solution where the domain can be drawn, and the points where it cannot."""

import struct

import numpy as np
import pytest

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set, solution_points
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.report import pictures
from ttzo.host_tools.training import checkpoint, metrics, session

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

# -lap u = 2 for each coordinate: u = sum of x (1 - x), met at the border; a time is added where wanted
BOWL = """
import torch
from ttzo.exporter import pde

def bowl(seed=0):
    problem = pde.Problem(
        space=[(0, 1)] * {size},
        time={time},
        residual=lambda p: p.lap + 2.0 * {size},
        exact={exact},
        conditions=[pde.on_faces(lambda p: p.u - pde.sum(p.x * (1.0 - p.x)), rows=4)],
        rows=4,
    )
    net = torch.nn.Sequential(torch.nn.Linear({inputs}, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    return net, {{"problem": problem, "estimator": "last_layer_gn", "n_queries": 2, "steps": 3}}
"""
EXACT = "lambda x, t: pde.sum(x * (1.0 - x))"


@pytest.fixture
def bowl(tmp_path):
    """A function that exports and trains a bowl; its bundle folder and run."""

    def make(size=1, time=None, exact=EXACT):
        text = BOWL.format(size=size, time=time, exact=exact, inputs=size + (time is not None))
        (tmp_path / "bowl.py").write_text(text, encoding="utf-8")
        export(f"{tmp_path / 'bowl.py'}:bowl", tmp_path / "bundle")
        with open_device("numpy:", tmp_path / "bundle") as device:
            run = session.train(device, data_set.load(None, device.plan), restart=True)
            return device.plan, run

    return make


def size_of(picture):
    """Width and height of a PNG, from its header."""
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">II", content[16:24])


@pytest.mark.parametrize(("size", "time"), [(1, None), (1, (0, 1)), (2, None), (3, None), (2, (0, 1))])
def test_a_run_of_a_pde_is_drawn_with_its_solution(bowl, size, time):
    plan, run = bowl(size, time)
    rows = metrics.read(run.folder / "metrics.csv")
    assert np.isclose(rows[-1]["relative_l2"], run.test.relative, rtol=1e-6)
    drawn = pictures._solution(plan, run.folder)
    assert (drawn.field is not None) == (plan.in_features <= 2) and set(drawn.baselines) == {"constant", "affine"}
    with_solution = size_of(pictures.draw(run.folder))
    (run.folder.parents[1] / "model.ttzo").rename(run.folder / "kept.ttzo")
    (run.folder / "model.ttzo").unlink()
    curves_alone = size_of(pictures.draw(run.folder, run.folder / "alone.png"))
    assert with_solution[1] > 1.3 * curves_alone[1]  # a second row of panels
    assert size_of(pictures.draw(run.folder, bundle=run.folder / "kept.ttzo")) == with_solution


def test_a_field_holds_the_network_and_the_exact_solution(bowl):
    plan, run = bowl(1, (0, 1))
    theta = checkpoint.load(run.folder / "checkpoint.npz", plan).parameters
    field = solution_points.field(plan, theta)
    x, t = np.meshgrid(*field.axes, indexing="ij")
    assert field.names == ("x", "t")
    np.testing.assert_allclose(field.exact[..., 0], x * (1 - x), atol=1e-6)  # float32
    some = [(3, 5), (100, 20), (160, 160)]
    with open_device("numpy:", run.folder.parents[1]) as device:
        device.load(theta, device.moments(), device.state())
        told = device.predict(np.float32([[x[at], t[at]] for at in some]))[:, 0]
    assert (told == [field.u[at][0] for at in some]).all()


def test_without_an_exact_solution_the_network_is_drawn_alone(bowl):
    plan, run = bowl(2, None, "None")
    drawn = pictures._solution(plan, run.folder)
    assert drawn.field.exact is None and drawn.at_points is None and not drawn.baselines
    size_of(pictures.draw(run.folder))


def test_without_exact_values_no_panel_is_empty():
    """Of one coordinate all fields in one panel; of two a panel of lines in the place of the exact values."""
    axis = np.linspace(0.0, 1.0, 5)
    line = solution_points.Field((axis,), ("x",), np.stack([axis, axis**2], 1), None)
    figure = pictures.new_figure(5, 3)
    pictures._plot_solution(figure, pictures.Solution({}, None, line), across=True)
    (panel,) = figure.axes
    assert [list(each.get_ydata()) for each in panel.get_lines()] == [list(axis), list(axis**2)]
    plane = solution_points.Field((axis, axis), ("x", "t"), (axis[:, None] + 10 * axis)[..., None], None)
    figure = pictures.new_figure(5, 3)
    pictures._plot_solution(figure, pictures.Solution({}, None, plane), across=False)
    cuts = next(each for each in figure.axes if each.get_lines())
    assert [each.get_label() for each in cuts.get_lines()] == [f"t = {t:g}" for t in axis]
    np.testing.assert_allclose([each.get_ydata() for each in cuts.get_lines()], axis + 10 * axis[:, None])


def test_a_run_of_another_model_is_not_drawn_with_this_ones_solution(bowl):
    _, run = bowl(1)
    checkpoint = (run.folder / "checkpoint.npz").read_bytes()
    _, other = bowl(2)
    (other.folder / "checkpoint.npz").write_bytes(checkpoint)
    with pytest.raises(TtzoError, match="another model"):
        pictures.draw(other.folder)


@pytest.mark.parametrize("name", ["burgers", "darcy"])
def test_references_meet_their_equations(name):
    """Held against the equation itself, by central differences in double (error of order h^2) away from the front."""
    from ttzo.exporter import zoo
    from ttzo.exporter.zoo.burgers import VISCOSITY

    reference, h = zoo.get(name).reference, 2e-3
    at = np.random.default_rng(0).uniform(0.15, 0.85, (200, 2))
    step = h * np.eye(2)
    u, right, left, up, down = (reference(at + move) for move in (0 * step[0], step[0], -step[0], step[1], -step[1]))
    first, second = ((right - left) / (2 * h), (up - down) / (2 * h)), ((right - 2 * u + left) / h**2)
    if name == "burgers":
        residual = first[1] + u * first[0] - VISCOSITY * second
    else:
        x, y = np.pi * at.T
        slopes = np.pi * np.cos(x) * np.cos(y), -np.pi * np.sin(x) * np.sin(y)
        lap = second + (up - 2 * u + down) / h**2
        residual = lap + slopes[0] * first[0] + slopes[1] * first[1] + np.exp(-np.sin(x) * np.cos(y))
    assert np.abs(residual).max() < (
        2e-3 if name == "burgers" else 4e-2
    )  # second differences of a cubic: each jumps at a cell by the slope of what the cubic lacks
