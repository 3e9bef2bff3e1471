# SPDX-License-Identifier: MIT
"""The study of ways to derivatives: each way against torch or a closed form, and what it counts."""

import csv
import json

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.research.reproduce import derivatives as ways

D = 5


@pytest.mark.parametrize("way", [ways.by_jets, ways.by_nested_tangents])
def test_forward_modes_are_back_propagations_derivatives(way):
    net, x = ways.Sines.made(D), ways.points(4, D).requires_grad_()
    (slopes,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    second = [torch.autograd.grad(slopes[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(D)]
    found = way(net, x.detach())
    # double: sums of a few hundred terms of order 1
    torch.testing.assert_close(found.gradient, slopes.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.laplacian, sum(second), rtol=0, atol=1e-12)


class Quadratic:
    """x -> g.x + x' A x / 2, exact for differences and, with level 3, for Stein's estimator."""

    def __init__(self):
        torch.manual_seed(2)
        self.g, half = torch.randn(D).double(), torch.randn(D, D).double()
        self.a = half + half.T

    def __call__(self, x):
        return x @ self.g + 0.5 * ((x @ self.a) * x).sum(-1)


@pytest.mark.parametrize("rule", [ways.central(D, 0.3), ways.on_grid(D, 3, 0.3), ways.on_grid(D, 4, 0.1)])
def test_rules_are_exact_on_a_quadratic(rule):
    f, x = Quadratic(), ways.points(3, D)
    found = ways.by_rule(rule, f, x)
    # double, divided by squares of 0.1, with weights of a few hundred
    torch.testing.assert_close(found.gradient, f.g + x @ f.a, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.laplacian, f.a.trace().expand(3), rtol=0, atol=1e-9)


def test_a_grid_of_level_2_has_no_laplacian_of_a_quadratic():
    f, x = Quadratic(), ways.points(3, D)
    found = ways.by_rule(ways.on_grid(D, 2, 0.3), f, x)
    torch.testing.assert_close(found.gradient, f.g + x @ f.a, rtol=0, atol=1e-10)
    assert (found.laplacian - f.a.trace()).abs().min() > 0.1  # it is exact to degree 3, and 4 is needed


def test_differences_of_half_the_step_are_four_times_as_near():
    net, x = ways.Sines.made(D), ways.points(20, D)
    errors = [
        ways.measured(net, x, "", "", 0, lambda n, p, h=h: ways.by_rule(ways.central(D, h), n, p), ways.DOUBLE)
        for h in (0.02, 0.01)
    ]
    assert errors[0].laplacian_error / errors[1].laplacian_error == pytest.approx(4, rel=0.01)
    assert errors[0].gradient_error / errors[1].gradient_error == pytest.approx(4, rel=0.01)


def test_samples_pieced_together_are_the_rule_at_once(monkeypatch):
    net, x, rule = ways.Sines.made(D), ways.points(3, D), ways.sampled(D, 50, 0.1)
    whole = ways.by_rule(rule, net, x)
    monkeypatch.setattr(ways, "NODES_AT_ONCE", 7)
    pieces = ways.by_rule(rule, net, x)
    torch.testing.assert_close(pieces.gradient, whole.gradient)
    torch.testing.assert_close(pieces.laplacian, whole.laplacian)


def test_multiply_accumulates_are_those_of_the_passes():
    found = {f.way: f for f in ways.by_dimensions(2, (D,))}
    first, rest = D * 64, 64 * 64 + 64
    assert found["differences"].macs == found["differences"].passes * (first + rest) == (2 * D + 1) * (first + rest)
    assert found["grid of level 3"].passes == 2 * D * D + 2 * D + 1
    # the first layer is multiplied once, the others by every column
    assert found["jet"].macs == first + (D + 2) * rest
    assert found["nested forward mode"].macs == first + (2 * D + 1) * rest


def test_the_command_writes_what_it_found(tmp_path, monkeypatch):
    monkeypatch.setattr("ttzo.host_tools.research.reproduce.derivatives.STEPS", (0.1,))
    monkeypatch.setattr("ttzo.host_tools.research.reproduce.derivatives.LEVELS", (2,))
    threads = torch.get_num_threads()
    done = CliRunner().invoke(main, ["reproduce", "derivatives", "--out", str(tmp_path / "out"), "--json"])
    torch.set_num_threads(threads)
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    lines = list(csv.DictReader((tmp_path / "out" / "derivatives.csv").open(encoding="utf-8")))
    assert len(lines) == len(answer["findings"]) == 2 * (1 + 1 + 5 + 5)
    assert float(lines[0]["laplacian_error"]) < 1e-5 and "| jet |" in (tmp_path / "out" / "derivatives.md").read_text()


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ttzo.host_tools.research.reproduce.derivatives.by_settings", lambda _: pytest.fail("it has begun")
    )
    (tmp_path / "file").write_text("")
    threads = torch.get_num_threads()
    done = CliRunner().invoke(main, ["reproduce", "derivatives", "--out", str(tmp_path / "file" / "out")])
    torch.set_num_threads(threads)
    assert done.exit_code == 3 and "Not a directory" in done.stderr
