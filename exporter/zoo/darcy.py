# SPDX-License-Identifier: MIT
"""Darcy flow -div(a grad u) = 1 on the unit square with a smooth coefficient, u = 0 at the border, in strong form;
reference by finite differences."""

import dataclasses
import math
from functools import cache
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

CELLS = 40  # of the reference's coarser grid, in each direction; the finer one has twice as many


def log_coefficient(x):
    return pde.sin(math.pi * x[0]) * pde.cos(math.pi * x[1])


def residual(p):
    """a lap u + grad a . grad u + 1, over a."""
    x, y = math.pi * p.x[0], math.pi * p.x[1]
    slope_x, slope_y = math.pi * pde.cos(x) * pde.cos(y), -math.pi * pde.sin(x) * pde.sin(y)
    return p.lap + slope_x * p.grad[0] + slope_y * p.grad[1] + pde.exp(-log_coefficient(p.x))


PROBLEM = pde.Problem(
    space=[(0.0, 1.0)] * 2,
    residual=residual,
    solution=lambda n, x, t: x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]) * n,
    rows=150,
)


@cache
def _solve(cells: int) -> np.ndarray:
    """u at the inner nodes [cells - 1, cells - 1] of a square grid: five-point differences in conservation form, by
    conjugate gradients."""
    h = 1.0 / cells
    at, between = np.arange(1, cells) * h, (np.arange(cells) + 0.5) * h
    along_x = np.exp(log_coefficient(np.meshgrid(between, at, indexing="ij"))) / h**2
    along_y = np.exp(log_coefficient(np.meshgrid(at, between, indexing="ij"))) / h**2

    def apply(u: np.ndarray) -> np.ndarray:
        wide = np.pad(u, 1)
        x, y = along_x * np.diff(wide[:, 1:-1], axis=0), along_y * np.diff(wide[1:-1], axis=1)
        return -np.diff(x, axis=0) - np.diff(y, axis=1)

    u = np.zeros((cells - 1, cells - 1))
    left = np.ones_like(u)
    direction, square = left.copy(), float((left * left).sum())
    while square > 1e-20:
        applied = apply(direction)
        length = square / float((direction * applied).sum())
        u, left = u + length * direction, left - length * applied
        before, square = square, float((left * left).sum())
        direction = left + square / before * direction
    return u


@cache
def _nodes() -> np.ndarray:
    """u at all nodes of the coarser grid, border included, extrapolated from both to fourth order."""
    return np.pad((4.0 * _solve(2 * CELLS)[1::2, 1::2] - _solve(CELLS)) / 3.0, 1)


def _cubic(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For places on the unit interval: the first of the four nodes around each, and Lagrange's weights (4, n)."""
    first = np.clip((at * CELLS).astype(int) - 1, 0, CELLS - 3)
    s, nodes = at * CELLS - first, range(4)
    weights = [math.prod((s - j) / (k - j) for j in nodes if j != k) for k in nodes]
    return first, np.array(weights)


def reference(points: np.ndarray) -> np.ndarray:
    """u at points (n, 2), by cubic interpolation."""
    (row, by_row), (column, by_column) = _cubic(points[:, 0]), _cubic(points[:, 1])
    u = _nodes()
    return sum(by_row[i] * by_column[j] * u[row + i, column + j] for i in range(4) for j in range(4))


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """2 -> 24 -> 24 -> 1 with tanh, dense: 697 parameters."""
    return dense((2, 24, 24, 1), gain=3.0, seed=seed, ranks=ranks, format=format, centre=0.5)


PHASE = dataclasses.replace(train_defaults.default_phases("subspace_gn")[0], n_queries=24)
RECIPE = Recipe(
    name="darcy",
    title="Darcy flow through a smooth field, 2-24-24-1",
    build=build,
    problem=PROBLEM,
    reference=reference,
    training=Training((PHASE,), steps=150, schedule=Schedule.linear),
    trainings=in_units(steps=300, ridge=1e-3),
    rows={"coordinate_gn": 600},
)
