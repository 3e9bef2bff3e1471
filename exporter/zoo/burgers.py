# SPDX-License-Identifier: MIT
"""The viscous Burgers equation with its steep front (nu = 0.01 / pi); reference by the Cole-Hopf formula."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from ttzo.device_runtime.contract import Schedule
from ttzo.exporter import pde
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.pde_network import dense, in_units
from ttzo.exporter.zoo.recipe import Ranks, Recipe

if TYPE_CHECKING:
    import torch

VISCOSITY = 0.01 / math.pi
QUADRATURE = 100  # nodes of the reference's Gauss-Hermite rule
STEEPEST = 60.0  # of the units at the start, where the flattest have 1


def residual(p):
    """Over 1 + |u_x|: unweighted, the few rows inside the front, where u_x reaches 150, outweigh all others."""
    return (p.u_t + p.u * p.grad[0] - VISCOSITY * p.second[0]) / (1.0 + abs(p.grad[0]))


# u is odd in x from -1 to 1, so half of the domain is all of it: the front at x = 0 is a layer at its border.
PROBLEM = pde.Problem(
    space=[(0.0, 1.0)],
    time=(0.0, 1.0),
    residual=residual,
    # -sin(pi x) at the start and 0 at both ends are met exactly
    solution=lambda n, x, t: t * x[0] * (1.0 - x[0]) * n - pde.sin(math.pi * x[0]),
    points=lambda x, t: (0.3 * x + 0.7 * x**3, t),  # three times as dense at the front as if uniform
    rows=800,
)


def reference(points: np.ndarray) -> np.ndarray:
    """u at points (n, 2), by Cole-Hopf: u = -E[sin(pi y) f(y)] / E[f(y)], y = x - sqrt(4 nu t) z,
    f(y) = exp(-cos(pi y) / (2 pi nu)), under the weight exp(-z^2)."""
    nodes, weights = np.polynomial.hermite.hermgauss(QUADRATURE)
    y = points[:, :1] - np.sqrt(4 * VISCOSITY * points[:, 1:]) * nodes
    power = -np.cos(math.pi * y) / (2 * math.pi * VISCOSITY)
    f = weights * np.exp(power - power.max(axis=1, keepdims=True))
    return -(np.sin(math.pi * y) * f).sum(1) / f.sum(1)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """2 -> 64 -> 1 with tanh, dense: 257 parameters. A unit's middle crosses the domain within three of its widths from
    the front, and its steepness is anything from the initial wave's to near the front's."""
    module = dense((2, 64, 1), seed=seed, ranks=ranks, format=format)
    from ttzo.exporter.readers.nn import seeded, torch

    first, last = (part for part in module.modules() if isinstance(part, torch.nn.Linear))
    with seeded(seed), torch.no_grad():
        places, times, slopes, signs = torch.rand(4, first.out_features)
        steepness = STEEPEST**slopes
        in_space = torch.where(signs < 0.5, -steepness, steepness)
        in_time = 1.5 * torch.randn(first.out_features) * steepness.clamp(max=5.0)
        first.weight.copy_(torch.stack([in_space, in_time], 1))
        first.bias.copy_(-in_space * (3.0 / steepness * places) - in_time * times)
        last.weight.mul_(0.1)
    return module


PHASE = dataclasses.replace(
    train_defaults.default_phases("last_layer_gn")[0], n_queries=64, perturb_radius=1e-3, trust_radius=1.0
)
RECIPE = Recipe(
    name="burgers",
    title="viscous Burgers equation, nu = 0.01/pi, 2-64-1",
    build=build,
    problem=PROBLEM,
    reference=reference,
    training=Training((PHASE,), steps=300, schedule=Schedule.linear),
    trainings=in_units(steps=300, ridge=1e-5),
)
