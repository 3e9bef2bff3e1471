# SPDX-License-Identifier: MIT
"""What a person learns of a solution whose exact values nobody knows: the residual at fresh points, or an error at points of
their own."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
from ttzo import pde
from ttzo.exporter.export import export
from ttzo.host_tools.cli.commands import main


def constant_one():
    """The network is 1 everywhere; the equation wants 3, a wall of weight 4 wants 5, a reading 1.5."""
    problem = pde.Problem(
        space=[(0, 1), (0, 1)],
        residual=lambda p: p.u - 3,
        conditions=[pde.on_faces(lambda p: p.u - 5, weight=4.0), pde.at_readings([(0.5, 0.5, 1.5)])],
    )
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    with torch.no_grad():
        net[2].weight.zero_()
        net[2].bias.fill_(1.0)
    return net, {"problem": problem}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    export(f"{__file__}:constant_one", folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments), "--device", "numpy:"])


def test_eval_gives_the_residual_of_each_kind_of_row_without_weights(bundle):
    answer = run("eval", bundle)
    assert "2 inside, 4 conditions, 0.5 readings (no exact solution is given)" in " ".join(answer.stdout.split())
    assert json.loads(run("eval", bundle, "--json").stdout)["residual"] == {
        "inside": 2,
        "conditions": 4,
        "readings": 0.5,
    }


def test_eval_measures_at_points_with_values(bundle, tmp_path):
    (tmp_path / "values.csv").write_text("x,y,u\n0.1,0.5,2\n0.4,0.2,2\n0.7,0.9,2\n")
    answer = json.loads(run("eval", bundle, "--data", tmp_path / "values.csv", "--json").stdout)
    assert answer["test"]["relative_l2"] == pytest.approx(0.5) and answer["test_rows"] == 3  # 1 where it is 2


def test_points_without_values_are_for_predict(bundle, tmp_path):
    (tmp_path / "points.csv").write_text("x,y\n0.1,0.3\n0.4,0.8\n")
    refused = run("eval", bundle, "--data", tmp_path / "points.csv")
    assert refused.exit_code == 3 and "ttzo predict DIR --data FILE" in refused.output
    answer = json.loads(run("predict", bundle, "--data", tmp_path / "points.csv", "--json").stdout)
    assert np.allclose([value for _, value in answer["answers"]], 1.0)
