# SPDX-License-Identifier: MIT
"""The Allen-Cahn equation u_t = u_xx + u - u^3: a front that travels from 1 to 0."""

import dataclasses
import math
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Schedule
from ttzo.exporter import pde
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.pde_network import dense, in_units
from ttzo.exporter.zoo.recipe import Ranks, Recipe

if TYPE_CHECKING:
    import torch


def exact(x, t):
    return 0.5 + 0.5 * pde.tanh(x[0] / (2.0 * math.sqrt(2.0)) + 0.75 * t)


PROBLEM = pde.Problem(
    space=[(-5.0, 5.0)],
    time=(0.0, 2.0),
    residual=lambda p: p.u_t - p.second[0] - p.u + p.u**3,
    solution=lambda n, x, t: t * n + exact(x, 0.0),
    exact=exact,
    conditions=[pde.on_faces(lambda p: p.u - exact(p.x, p.t), weight=5.0, rows=20)],
    rows=80,
)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """2 -> 24 -> 24 -> 1 with tanh, dense: 697 parameters."""
    return dense((2, 24, 24, 1), gain=1.0, seed=seed, ranks=ranks, format=format)


PHASE = dataclasses.replace(train_defaults.default_phases("subspace_gn")[0], n_queries=24)
RECIPE = Recipe(
    name="allen-cahn",
    title="Allen-Cahn equation, a travelling front, 2-24-24-1",
    build=build,
    problem=PROBLEM,
    training=Training((PHASE,), steps=80, schedule=Schedule.linear),
    trainings=in_units(steps=80, ridge=1e-3),
)
