# SPDX-License-Identifier: MIT
"""The residual loss of the rivals: every way to derivatives against a function whose derivatives are known."""

import pytest

torch = pytest.importorskip("torch")

from ttzo.host_tools.research.rivals import residual
from ttzo.host_tools.research.rivals.network import Network
from ttzo.nn import Sine, TTLinear

INPUTS = residual.INPUTS


def network(kind="dense", scale=1.0):
    torch.manual_seed(3)
    first = torch.nn.Linear(INPUTS, 8) if kind == "dense" else TTLinear(INPUTS, 8, (3, 7), (4, 2), 3, "tensor")
    made = Network.of(torch.nn.Sequential(first, Sine(), torch.nn.Linear(8, 8), Sine(), torch.nn.Linear(8, 1)))
    return Network(made.layers, made.start.double() * scale)


def points(n=4):
    return residual.collocation(n, torch.Generator().manual_seed(1), torch.float64)


def found(name, net, at):
    rule = residual.stencil(name, torch.Generator().manual_seed(0), net.start)
    return residual.by_stencil(net, net.start, at, rule)


def by_differentiation(network, theta, points):
    """Back-propagation to the points, and once more for each coordinate of space."""
    with torch.enable_grad():
        at = points.detach().requires_grad_()
        (first,) = torch.autograd.grad(residual.v(network, theta, at).sum(), at, create_graph=True)
        lap = torch.zeros_like(first[:, 0])
        for i in range(residual.DIMENSION):
            (second,) = torch.autograd.grad(first[:, i].sum(), at, create_graph=True)
            lap = lap + second[:, i]
    return first[:, -1], first[:, :-1], lap


@pytest.mark.parametrize("kind", ["dense", "tensor"])
def test_jets_and_differentiation_agree(kind):
    net, at = network(kind), points()
    for jet, exact in zip(residual.by_jets(net, net.start, at), by_differentiation(net, net.start, at), strict=True):
        torch.testing.assert_close(jet, exact.detach())


@pytest.mark.parametrize("pruned", [False, True])
def test_the_gradient_through_jets_is_that_through_differentiation(pruned, monkeypatch):
    net, at = network(), points(6)
    if pruned:
        net = net.pruned(torch.arange(0, net.n, 3), at_start=True)
    loss, gradient = residual.Residual(net, at, "jet", torch.Generator()).loss_and_gradient(net.start)
    monkeypatch.setattr(residual, "by_jets", by_differentiation)
    again = residual.Residual(net, at, "jet", torch.Generator()).loss_and_gradient(net.start)
    torch.testing.assert_close((loss, gradient), again)


def test_differentiation_is_the_hessians_trace():
    net, at = network(), points(1)
    hessian = torch.func.hessian(lambda p: residual.v(net, net.start, p[None])[0])(at[0])
    _, _, lap = by_differentiation(net, net.start, at)
    torch.testing.assert_close(lap[0].detach(), hessian.diagonal()[: residual.DIMENSION].sum())


def test_differences_err_by_the_square_of_their_step():
    net, at = network(), points()
    exact = by_differentiation(net, net.start, at)
    for estimate, value in zip(found("fd", net, at), exact, strict=True):
        # h^2 / 12 times fourth derivatives of order 1 in 20 coordinates
        torch.testing.assert_close(estimate, value.detach(), rtol=0, atol=20 * residual.STEP_FD**2)


@pytest.mark.parametrize(("name", "bound"), [("sg", 2e-3), ("se", 1.0)])
def test_steins_estimates_are_the_derivatives_of_the_smoothed_model(name, bound):
    # sin(a.p + c) smoothed by N(0, sigma^2 I) is exp(-sigma^2 |a|^2 / 2) sin(a.p + c), and v = (1 - t) N smooths to
    # (1 - t) s + sigma^2 a_t cos(..) exp(..) with a minus sign: E[delta f] = sigma^2 E[f']
    torch.manual_seed(0)
    a, c, sigma = torch.randn(INPUTS, dtype=torch.float64) * 0.1, 0.3, residual.RADIUS
    layers = torch.nn.Sequential(torch.nn.Linear(INPUTS, 1), Sine(), torch.nn.Linear(1, 1))
    net = Network.of(layers)
    net = Network(net.layers, torch.cat([a, torch.tensor([c, 1.0, 0.0], dtype=torch.float64)]))
    at = points()
    damp = torch.exp(-(sigma**2) * a.square().sum() / 2)

    def smoothed(p):
        phase = p @ a + c
        return damp * ((1 - p[-1]) * torch.sin(phase) - sigma**2 * a[-1] * torch.cos(phase))

    gradient = torch.stack([torch.func.grad(smoothed)(p) for p in at])
    trace = torch.stack([torch.func.hessian(smoothed)(p).diagonal()[:-1].sum() for p in at])
    v_t, grad, lap = found(name, net, at)
    # the grid is exact to degree 5: it errs by sigma^2 |a|^4 in the Laplacian; 1024 random nodes err by 1/sqrt(1024) of v / sigma^2 in the Laplacian
    torch.testing.assert_close(v_t, gradient[:, -1], rtol=0, atol=bound)
    torch.testing.assert_close(grad, gradient[:, :-1], rtol=0, atol=bound)
    torch.testing.assert_close(lap, trace, rtol=0, atol=10 * bound)


@pytest.mark.parametrize("name", residual.DERIVATIVES)
def test_the_exact_solution_has_no_residual(name):
    net = network(scale=0.0)
    net.start[-1] = 1.0  # N = 1
    objective = residual.Residual(net, points(), name, torch.Generator().manual_seed(0))
    loss = objective.losses(net.start[None])[0]
    # v = 1 - t is linear: only a random stencil errs, by a standard error of 1/sqrt(512) in v_t and each derivative,
    # and in the Laplacian by sqrt(40 / 1024) / sigma of the odd part, which the pairs cancel
    assert loss < (0.1 if name == "se" else 1e-16)
    assert residual.solution_error(net, net.start, points()) < 1e-30


@pytest.mark.parametrize("name", residual.DERIVATIVES)
def test_gradient_in_portions_is_that_of_the_whole(name, monkeypatch):
    net, at = network(), points(7)
    whole = residual.Residual(net, at, name, torch.Generator().manual_seed(0)).loss_and_gradient(net.start)
    monkeypatch.setitem(residual.POINTS_AT_ONCE, "cpu", 16)
    parts = residual.Residual(net, at, name, torch.Generator().manual_seed(0)).loss_and_gradient(net.start)
    torch.testing.assert_close(parts[0], whole[0])
    torch.testing.assert_close(parts[1], whole[1])
    moved = net.start + 1e-6 * torch.ones_like(net.start)
    again = residual.Residual(net, at, name, torch.Generator().manual_seed(0))
    slope = (again.losses(moved[None]) - again.losses(net.start[None]))[0] / 1e-6
    # one-sided: curvature over all parameters times 1e-6, and rounding of the stencils' weights / 1e-6
    assert float(slope) == pytest.approx(float(whole[1].sum()), rel=1e-2, abs=1e-2)
