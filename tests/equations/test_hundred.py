# SPDX-License-Identifier: MIT
"""The equations of docs/equations/hundred.py: their exact solutions solve them, and a board of 128 KiB holds their training."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from ttzo.exporter.costs import memory
from ttzo.exporter.export import plan_of

torch = pytest.importorskip("torch")
PATH = Path(__file__).parents[2] / "docs" / "equations" / "hundred.py"


@pytest.fixture(scope="module")
def hundred():
    spec = importlib.util.spec_from_file_location("hundred", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["heat", "hjb", "allen_cahn"])
def test_the_exact_solution_solves_the_equation(hundred, name):
    """By torch's derivatives in double precision, at random points."""
    _, options = getattr(hundred, name)()
    problem, generator = options["problem"], torch.Generator().manual_seed(0)
    low, high = zip(*problem.space, *([problem.time] if problem.time else []), strict=True)
    low, high = (torch.tensor(bound, dtype=torch.float64)[:, None] for bound in (low, high))
    points = low + (high - low) * torch.rand(len(low), 3, generator=generator, dtype=torch.float64)
    points.requires_grad_()
    n = len(problem.space)
    x, t = points[:n], points[n] if problem.time else None
    exact = problem.exact(x, t)
    u = exact[0] if isinstance(exact, tuple) else exact

    def derivatives(value):
        return torch.autograd.grad(value.sum(), points, create_graph=True)[0]

    first = derivatives(u)
    laplacian = sum(derivatives(first[i])[i] for i in range(n))
    at = SimpleNamespace(u=u, x=x, t=t, grad=first[:n], u_t=first[n] if problem.time else None, lap=laplacian)
    assert problem.residual(at).abs().max() < 1e-9 * max(1.0, laplacian.abs().max())


@pytest.mark.parametrize("name", ["heat", "hjb", "allen_cahn"])
def test_training_fits_128_kib(name):
    plan = plan_of(f"{PATH}:{name}")
    assert memory.work_bytes(plan) <= 128 * 1024
    assert plan.equation.n_sampled < plan.equation.n_space == 100
