# SPDX-License-Identifier: MIT
"""A European call by the Black-Scholes equation, prices in units of the strike; closed form."""

import dataclasses
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Schedule
from ttzo.exporter import pde
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.pde_network import dense, in_units
from ttzo.exporter.zoo.recipe import Ranks, Recipe

if TYPE_CHECKING:
    import torch

RATE, VOLATILITY = 0.05, 0.2
SHORTEST = 1e-6  # time to maturity in the closed form, which divides by it


def residual(p):
    s = p.x[0]
    return p.u_t + 0.5 * VOLATILITY**2 * s * s * p.second[0] + RATE * s * p.grad[0] - RATE * p.u


def exact(x, t):
    tau, s = pde.maximum(1.0 - t, SHORTEST), x[0]
    spread = VOLATILITY * pde.sqrt(tau)
    d1 = (pde.log(s) + (RATE + 0.5 * VOLATILITY**2) * tau) / spread
    return s * pde.normal_cdf(d1) - pde.exp(-RATE * tau) * pde.normal_cdf(d1 - spread)


def at_border(p):
    """Worthless far below the strike, a forward contract far above it."""
    return p.u - pde.where(p.x[0] < 1.0, 0.0, p.x[0] - pde.exp(-RATE * (1.0 - p.t)))


PROBLEM = pde.Problem(
    space=[(0.01, 2.0)],
    time=(0.0, 1.0),
    residual=residual,
    exact=exact,
    conditions=[
        pde.at_end(lambda p: p.u - pde.maximum(p.x[0] - 1.0, 0.0), weight=5.0, rows=40),
        pde.on_faces(at_border, weight=5.0, rows=20),
    ],
    rows=100,
)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """2 -> 32 -> 32 -> 1 with tanh, dense: 1185 parameters."""
    return dense((2, 32, 32, 1), gain=3.0, seed=seed, ranks=ranks, format=format)


PHASE = dataclasses.replace(train_defaults.default_phases("subspace_gn")[0], n_queries=24)
RECIPE = Recipe(
    name="black-scholes",
    title="European call by the Black-Scholes equation, 2-32-32-1",
    build=build,
    problem=PROBLEM,
    training=Training((PHASE,), steps=70, schedule=Schedule.linear),
    trainings=in_units(steps=200, ridge=1e-4),
)
