# SPDX-License-Identifier: MIT
"""The viscous Burgers equation with its steep front (nu = 0.01 / pi); reference by the Cole-Hopf formula."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from ttzo.exporter import pde, train_defaults
from ttzo.exporter.plan import Training
from ttzo.exporter.zoo.pde_network import dense
from ttzo.exporter.zoo.recipe import Ranks, Recipe

if TYPE_CHECKING:
    import torch

VISCOSITY = 0.01 / math.pi
QUADRATURE = 100  # nodes of the reference's Gauss-Hermite rule

PROBLEM = pde.Problem(
    space=[(-1.0, 1.0)],
    time=(0.0, 1.0),
    residual=lambda p: p.u_t + p.u * p.grad[0] - VISCOSITY * p.second[0],
    # -sin(pi x) at the start and 0 at both ends are met exactly
    solution=lambda n, x, t: t * (1.0 - x[0] * x[0]) * n - pde.sin(math.pi * x[0]),
    rows=200,
)


def reference(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n random points (n, 2) and u there, by Cole-Hopf: u = -E[sin(pi y) f(y)] / E[f(y)], y = x - sqrt(4 nu t) z,
    f(y) = exp(-cos(pi y) / (2 pi nu)), under the weight exp(-z^2)."""
    points = np.random.default_rng(seed).uniform([-1.0, 0.0], [1.0, 1.0], (n, 2))
    nodes, weights = np.polynomial.hermite.hermgauss(QUADRATURE)
    y = points[:, :1] - np.sqrt(4 * VISCOSITY * points[:, 1:]) * nodes
    power = -np.cos(math.pi * y) / (2 * math.pi * VISCOSITY)
    f = weights * np.exp(power - power.max(axis=1, keepdims=True))
    return points, -(np.sin(math.pi * y) * f).sum(1) / f.sum(1)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """2 -> 32 -> 32 -> 1 with tanh, dense: 1185 parameters."""
    return dense((2, 32, 32, 1), gain=3.0, seed=seed, ranks=ranks, format=format)


PHASE = dataclasses.replace(train_defaults.default_phases("subspace_gn")[0], n_queries=32)
RECIPE = Recipe(
    name="burgers",
    title="viscous Burgers equation, nu = 0.01/pi, 2-32-32-1",
    build=build,
    problem=PROBLEM,
    reference=reference,
    training=Training((PHASE,), steps=400),
)
