# SPDX-License-Identifier: MIT
"""Twin of coordinate_gn.c: Gauss-Newton on the residuals of a PDE in unit directions."""

from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import LIMIT, DeviceError, PhaseRecord
from ttzo.exporter.costs import coordinates
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import triangle
from ttzo.host_tools.reference.equations.gauss_newton import LARGEST_RIDGE, parameter_scales
from ttzo.host_tools.reference.network.loss import sum_in_order
from ttzo.host_tools.reference.number import real

ZERO, ONE = np.float32(0), np.float32(1)
LAST_SHARE = np.float32(0.01)
BLOCK = LIMIT["gn_block_rows"]


def _root(x: np.float32) -> np.float32:
    return real.sqrt(np.array([x], np.float32))[0]


def _norm(v: np.ndarray) -> np.float32:
    return _root(sum_in_order(v * v))


def coordinate_places(plan: Plan) -> np.ndarray:
    """Place in theta of each coordinate: the last layer's, the others, an equation's unknown constants."""
    last, n_constants = plan.graph.nodes[-1].parameters, len(plan.unknowns)
    n, n_last = plan.n_coordinates, plan.n_last_coordinates
    others = np.arange(0 if plan.asks_all else last - (n - n_last), last)
    return np.concatenate([last + np.arange(n_last), others, plan.n_parameters - n_constants + np.arange(n_constants)])


def columns_of_graph(
    plan: Plan, theta: np.ndarray, residuals: Callable[[np.ndarray], np.ndarray], mu: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Twin of graph_columns.c: the residuals [batch], and each coordinate's column, the difference of those beside it."""
    base, made = residuals(theta), []
    for place in coordinate_places(plan):
        beside, kept = theta.copy(), theta[place]
        beside[place] = mu * (ONE + np.abs(kept)) + kept
        made.append((residuals(beside) - base) / (beside[place] - kept))
    return base, np.array(made)


class CoordinateGaussNewton:
    """One step from `theta`; `moments` hold the ridge. `residuals(parameters)` gives the weighted residuals of the step's
    rows; `columns()` them and their derivatives [coordinates, rows]."""

    def __init__(self, plan: Plan, phase: PhaseRecord, _seed: int, step: int, theta: np.ndarray, moments: np.ndarray,
                 residuals: Callable[[np.ndarray], np.ndarray],
                 columns: Callable[[], tuple[np.ndarray, np.ndarray]]):  # fmt: skip
        self.plan, self.phase, self.step, self.theta, self.moments = plan, phase, step, theta, moments
        self.residuals, self._columns = residuals, columns
        self.n, self.n_last = plan.n_coordinates, plan.n_last_coordinates
        self.by_rows = self.n < plan.batch
        n_constants, self.places = len(plan.unknowns), coordinate_places(plan)
        self.scales = parameter_scales(plan, theta)[self.places]
        self.scales[: self.n_last] = ONE
        self.scales[self.n - n_constants :] = ONE
        self.tries = 0

    @property
    def evaluations(self) -> int:
        return coordinates.evaluations(self.plan, self.phase, self.tries)

    # ---- the triangle

    def build(self) -> None:
        self.base, self.columns = self._columns()
        self.base_losses = self.base * self.base
        if not np.isfinite(self.columns).all():
            raise DeviceError("non_finite", self.step)
        order = self.n if self.by_rows else len(self.base)
        self.triangle = np.zeros((order, order + 1), np.float32)
        if self.by_rows:
            matrix = np.vstack([self.scales[:, None] * self.columns, self.base]).T
            self._fold(self.triangle, matrix)
        else:
            self._fold_columns()

    def _fold(self, into: np.ndarray, rows: np.ndarray) -> None:
        for first in range(0, len(rows), BLOCK):
            triangle.fold(into, rows[first : first + BLOCK].copy())

    def _fold_columns(self) -> None:
        at_once = min(self.phase.n_coordinates, self.n)
        scaled = self.scales[:, None] * self.columns
        rows = np.pad(scaled, ((0, 0), (0, 1)))
        other = np.zeros_like(self.triangle)
        for first in range(0, self.n, at_once):
            end = min(first + at_once, self.n)
            middle = min(max(self.n_last, first), end)
            self._fold(self.triangle, rows[first:middle])
            self._fold(other, rows[middle:end])
        of_last = self._weight(scaled[: self.n_last], LAST_SHARE)
        of_others = self._weight(scaled[self.n_last :], ONE)
        self.weights = np.repeat(np.array([of_last, of_others], np.float32), [self.n_last, self.n - self.n_last])
        self.triangle *= _root(of_last)
        self._fold(self.triangle, np.triu(other * _root(of_others)))

    def _weight(self, scaled: np.ndarray, share: np.float32) -> np.float32:
        squares = sum_in_order((scaled * scaled).reshape(-1))
        return np.float32(len(scaled)) / (share * squares) if squares > 0 else ZERO

    # ---- the step at one ridge

    def solve(self, ridge: np.float32) -> np.ndarray:
        """The coefficients."""
        order = len(self.triangle)
        diagonal = np.full(order, _root(ridge))
        if self.by_rows:
            others = np.float32(max(self.n - self.n_last, 1))
            last = triangle.squares(self.triangle, 0, self.n_last) / np.float32(self.n_last)
            other = triangle.squares(self.triangle, self.n_last, self.n) / others
            diagonal[:] = _root(ridge * other)
            diagonal[: self.n_last] = _root(LAST_SHARE * ridge * last)
        solved = self.triangle.copy()
        rows = np.zeros((order, order + 1), np.float32)
        rows[range(order), range(order)] = diagonal
        self._fold(solved, rows)
        if self.by_rows:
            return triangle.solve(solved, 0, ZERO)
        y, dots = triangle.solve_twice(solved, self.base), np.zeros(self.n, np.float32)
        for own, answer in zip(self.columns.T, y, strict=True):
            dots = own * answer + dots
        return self.scales * dots * self.weights

    def compose(self, a: np.ndarray) -> np.ndarray:
        """The step of the coordinates, shortened to the trust radius."""
        radius, length = np.float32(self.phase.trust_radius), _norm(a[self.n_last :])
        factor = radius / length if radius > 0 and length > radius else ONE
        return factor * self.scales * a

    # ---- the step

    def run(self, rate: np.float32) -> tuple[np.ndarray, np.ndarray, np.float32, np.float32]:
        """New theta and moments, mean loss before, and the step's length. Raises `DeviceError("non_finite")`."""
        with np.errstate(all="ignore"):
            return self._run(rate)

    def _run(self, rate: np.float32) -> tuple[np.ndarray, np.ndarray, np.float32, np.float32]:
        least = np.float32(self.phase.ridge)
        ridge = self.moments[0] if self.moments[0] > 0 else least
        self.build()
        loss = sum_in_order(self.base_losses) * (ONE / np.float32(self.plan.batch))
        if not np.isfinite(loss):
            raise DeviceError("non_finite", self.step)
        falls = False
        while self.tries < LIMIT["gn_tries"] and not falls:
            step = self.compose(self.solve(ridge))
            moved = self.theta.copy()
            moved[self.places] = rate * step + self.theta[self.places]
            residuals = self.residuals(moved)
            self.tries += 1
            falls = bool(sum_in_order(residuals * residuals - self.base_losses) < 0) and bool(np.isfinite(moved).all())
            ridge = ridge * np.float32(0.3 if falls else 10)
        moments = self.moments.copy()
        moments[0] = least if ridge < least else min(ridge, LARGEST_RIDGE)
        return (moved if falls else self.theta), moments, loss, _norm(step)
