# SPDX-License-Identifier: MIT
"""Twin of frozen_features.c: one least squares over the last layer behind units that each step draws anew."""

import numpy as np

from ttzo.device_runtime.contract import LIMIT, DeviceError, Direction, PhaseRecord, Stream
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import coordinate_columns, triangle
from ttzo.host_tools.reference.equations import pde as equations
from ttzo.host_tools.reference.network.loss import sum_in_order
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.number.random import direction

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
SCALES = np.array([0.5, 0.75, 1.1, 1.6, 2.4, 3.6, 5.4, 8.0], np.float32)


def _root(x: np.float32) -> np.float32:
    return real.sqrt(np.array([x], np.float32))[0]


def drawn(plan: Plan, seed: int, step: int) -> np.ndarray:
    """The parameters that a step tries, their last layer 0."""
    layer, pde = plan.layers[0], plan.equation
    n, units = layer.in_features, layer.out_features
    theta = np.zeros(plan.n_parameters, np.float32)
    w = direction(n * units, Direction.gaussian, seed, step, 0).reshape(units, n)
    centres = equations.points_in_box(plan, Stream.features, seed, step, np.arange(units))
    low, high = (np.array(bound, np.float32) for bound in (pde.low, pde.high))
    along_one = step // len(SCALES) % 2 != 0
    spread = _root(np.float32(1 + pde.has_time if along_one else n))
    size = SCALES[step % len(SCALES)] / (spread * (np.float32(plan.input_scale) * (HALF * (high - low))))
    w = size * w
    if along_one:
        inputs, axis = np.arange(n), (np.arange(units) % pde.n_space)[:, None]
        w[(inputs != axis) & (inputs < pde.n_space)] = ZERO
    bias = np.zeros(units, np.float32)
    for own, centre in zip(w.T, centres, strict=True):
        bias = -own * (centre * np.float32(plan.input_scale) + np.float32(plan.input_offset)) + bias
    theta[: n * units], theta[n * units : n * units + units] = w.reshape(-1), bias
    return theta


def step(plan: Plan, phase: PhaseRecord, seed: int, number: int, theta: np.ndarray, points: np.ndarray,
         residuals) -> tuple[np.ndarray, np.float32, np.float32]:  # fmt: skip
    """New theta, mean loss before, and the found last layer's length. `points` are those of the step's rows, to which the last
    layer is fitted; `residuals(parameters)` gives those of the next step's. Raises `DeviceError("non_finite")`."""
    with np.errstate(all="ignore"):
        base = residuals(theta)
        losses = base * base
        loss = sum_in_order(losses) * (ONE / np.float32(plan.batch))
        if not np.isfinite(loss):
            raise DeviceError("non_finite", number)
        tried, last = drawn(plan, seed, number), plan.layers[-1]
        mu = np.float32(phase.perturb_radius)
        rest, columns = coordinate_columns.residuals_and_columns(plan, tried, points, seed, number, mu, of_last=True)
        rows = np.vstack([columns, rest]).T
        if not np.isfinite(rows).all():
            raise DeviceError("non_finite", number)
        answer = _least_squares(rows, np.float32(phase.ridge))
        tried[last.parameter_offset : last.parameter_offset + len(answer)] = answer
        found = residuals(tried)
        falls = sum_in_order(found * found - losses) < 0 and np.isfinite(tried).all()
        return (tried if falls else theta), loss, _root(sum_in_order(answer * answer))


def _least_squares(rows: np.ndarray, ridge: np.float32) -> np.ndarray:
    """a with rows[:, :-1] a + rows[:, -1] least, beside a ridge relative to the mean squared column."""
    n, block = rows.shape[1] - 1, LIMIT["gn_block_rows"]
    folded = np.zeros((n, n + 1), np.float32)
    for first in range(0, len(rows), block):
        triangle.fold(folded, rows[first : first + block].copy())
    mean = triangle.squares(folded, 0, n) / np.float32(n)
    diagonal = np.zeros((n, n + 1), np.float32)
    diagonal[range(n), range(n)] = _root(ridge * mean)
    for first in range(0, n, block):
        triangle.fold(folded, diagonal[first : first + block].copy())
    return triangle.solve(folded, 0, ZERO)
