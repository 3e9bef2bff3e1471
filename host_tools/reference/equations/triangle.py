# SPDX-License-Identifier: MIT
"""Twin of triangle.c: least squares by QR, rows folded into a triangle a block at a time."""

import numpy as np

from ttzo.host_tools.reference.network.loss import sum_in_order
from ttzo.host_tools.reference.number import real

ZERO, ONE = np.float32(0), np.float32(1)
USED_UP = np.float32(1e-30)


def _root(square: np.float32) -> np.float32:
    return real.sqrt(np.array([square]))[0]


def _chain(left: np.ndarray, right: np.ndarray, start: np.ndarray) -> np.ndarray:
    """start + left[0] right[0] + left[1] right[1] + ...: one multiply-add after the other."""
    for a, b in zip(left, right, strict=True):
        start = a * b + start
    return start


def fold(triangle: np.ndarray, block: np.ndarray) -> None:
    """Folds rows [a, b] (float32 [rows, n + 1]) into the upper triangle [n, n + 1]; the rows are used up."""
    for j, row in enumerate(triangle):
        column = block[:, j].copy()
        squares = _chain(column, column, np.zeros((), np.float32))
        if not squares > USED_UP:
            continue
        length = _root(row[j] * row[j] + squares)
        turned = -length if row[j] > 0 else length
        head = row[j] - turned
        weight, column = head / turned, column * (ONE / head)
        row[j] = turned
        factor = _chain(column, block[:, j + 1 :], row[j + 1 :]) * weight
        row[j + 1 :] = row[j + 1 :] + factor
        block[:, j + 1 :] = factor * column[:, None] + block[:, j + 1 :]


def squares(triangle: np.ndarray, first: int, end: int) -> np.float32:
    """Squared length of the columns [first, end) of what was folded in."""
    parts = [row[max(first, j) : end] for j, row in enumerate(triangle) if max(first, j) < end]
    values = np.concatenate([np.zeros(0, np.float32), *parts])
    return sum_in_order(values * values)


def solve(triangle: np.ndarray, n_free: int, radius: np.float32) -> np.ndarray:
    """a [n] with R a = -Q'b, the unknowns from n_free on first and no longer than `radius` (0: of any length)."""
    n = len(triangle)
    a = np.zeros(n, np.float32)
    for j in reversed(range(n)):
        row = triangle[j]
        total = _chain(-row[j + 1 : n], a[j + 1 :], -row[n])
        a[j] = total / row[j] if row[j] < 0 or row[j] > 0 else ZERO
        if j == n_free:
            length = _root(sum_in_order(a[n_free:] * a[n_free:]))
            if radius > 0 and length > radius:
                a[n_free:] = a[n_free:] * (radius / length)
    return a


def solve_twice(triangle: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y [n] with R'R y = -b."""
    y, n = -b, len(triangle)
    for j, row in enumerate(triangle):
        y[j] = y[j] / row[j] if row[j] < 0 or row[j] > 0 else ZERO
        y[j + 1 :] = -row[j + 1 : n] * y[j] + y[j + 1 :]
    for j in reversed(range(n)):
        row = triangle[j]
        total = _chain(-row[j + 1 : n], y[j + 1 :], y[j])
        y[j] = total / row[j] if row[j] < 0 or row[j] > 0 else ZERO
    return y
