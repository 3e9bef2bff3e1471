# SPDX-License-Identifier: MIT
"""The heat equation in 10 dimensions: a sum of sine modes that decay."""

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

DIMENSION, DIFFUSIVITY = 10, 0.1


def exact(x, t):
    return pde.sum(pde.sin(math.pi * x)) * pde.exp(-DIFFUSIVITY * math.pi**2 * t)


PROBLEM = pde.Problem(
    space=[(0.0, 1.0)] * DIMENSION,
    time=(0.0, 1.0),
    residual=lambda p: p.u_t - DIFFUSIVITY * p.lap,
    solution=lambda n, x, t: t * n + pde.sum(pde.sin(math.pi * x)),
    exact=exact,
    conditions=[pde.on_faces(lambda p: p.u - exact(p.x, p.t), weight=5.0, rows=100)],
    rows=100,
)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """11 -> 64 -> 1 with sines, dense: 833 parameters."""
    return dense((11, 64, 1), "sine", gain=3.0, seed=seed, ranks=ranks, format=format, centre=0.5)


PHASE = dataclasses.replace(train_defaults.default_phases("last_layer_gn")[0], n_queries=48, trust_radius=1.0)
RECIPE = Recipe(
    name="heat10",
    title="heat equation in 10 dimensions, 11-64-1",
    build=build,
    problem=PROBLEM,
    training=Training((PHASE,), steps=150, schedule=Schedule.linear),
    trainings=in_units(steps=150, ridge=1e-3),
)
