# SPDX-License-Identifier: MIT
"""Twin of gauss_newton.c: Gauss-Newton on the residuals of a PDE, or of a black box, in a random subspace."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import LIMIT, DeviceError, Direction, Estimator, LayerKind, PhaseRecord
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import triangle
from ttzo.host_tools.reference.network.loss import sum_in_order
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.number.random import direction

ONE, HALF, TWO = np.float32(1), np.float32(0.5), np.float32(2)
BIAS_SCALE, OWN_SHARE = np.float32(0.1), np.float32(0.2)
LEAST_RIDGE, LARGEST_RIDGE = np.float32(1e-5), np.float32(1e12)
FREE_SHARE, LEAST_FREE_RIDGE = np.float32(0.01), np.float32(1e-6)
Residuals = Callable[[np.ndarray], np.ndarray]


def _root(x: np.float32) -> np.float32:
    return real.sqrt(np.array([x]))[0]


def core_scale(layer: Layer) -> np.float32:
    """Standard deviation of a core's direction: that at which the layer's W has Xavier's."""
    spread = np.float32(layer.in_features + layer.out_features)
    if layer.kind == LayerKind.dense:
        return _root(TWO / spread)
    for rank in layer.ranks[1:-1]:
        spread = spread * np.float32(rank)
    return real.exp(real.log(np.array([TWO / spread])) * (HALF / np.float32(len(layer.ranks) - 1)))[0]


def _tensor_scales(plan: Plan) -> list[tuple[int, np.float32, int]]:
    """Of each layer, or other node that owns trained parameters: how many core entries, their scale, and how many biases, as
    which all that is no layer's counts."""
    made = []
    for node in plan.graph.nodes:
        n = 0 if node.frozen or node.shared else node.operation.n_parameters
        if n and isinstance(node.operation, Affine):
            biases = node.layer.out_features if node.layer.has_bias else 0
            made.append((n - biases, core_scale(node.layer), biases))
        else:
            made.append((0, np.float32(0), n))
    return made


def parameter_scales(plan: Plan, theta: np.ndarray) -> np.ndarray:
    """How far a step may reasonably move each parameter: twin of scales.c."""
    parts = []
    for cores, scale, biases in _tensor_scales(plan):
        parts.append(np.full(cores, scale, np.float32))
        parts.append(np.full(biases, BIAS_SCALE, np.float32))
    layers = np.concatenate(parts)
    scales = np.zeros(len(theta), np.float32)  # of an equation's unknown constants, which no direction moves, 0
    scales[: len(layers)] = np.maximum(layers, OWN_SHARE * np.abs(theta[: len(layers)]))
    return scales


def _norm(v: np.ndarray) -> np.float32:
    return _root(sum_in_order(v * v))


@dataclass(frozen=True)
class BlackBox:
    """In the place of a plan: a function of `n_parameters` parameters that gives `batch` residuals."""

    n_parameters: int
    batch: int


def _no_columns() -> tuple[np.ndarray, np.ndarray]:
    raise AssertionError("only last_layer_gn asks for them")


class GaussNewton:
    """One step from `theta` with the update rule's `moments`. `residuals(parameters)` gives the weighted residuals of
    the step's rows; `columns_of_last_layer()` the residuals and their derivatives [unknowns, rows]."""

    def __init__(self, plan: Plan | BlackBox, phase: PhaseRecord, seed: int, step: int, theta: np.ndarray,
                 moments: np.ndarray, residuals: Residuals,
                 columns_of_last_layer: Callable[[], tuple[np.ndarray, np.ndarray]] = _no_columns):  # fmt: skip
        self.plan, self.phase, self.seed, self.step, self.theta = plan, phase, seed, step, theta
        self.mu = np.float32(phase.perturb_radius)
        self.residuals, self._columns_of_last_layer = residuals, columns_of_last_layer
        self.layers: tuple[Layer, ...] = () if isinstance(plan, BlackBox) else plan.chain or ()
        self.n_free = self.layers[-1].n_parameters if phase.estimator == Estimator.last_layer_gn else 0
        size = plan.n_parameters
        self.remembered = [moments[:size], moments[size : 2 * size]] if phase.estimator == Estimator.subspace_gn else []
        self.unknowns = 0 if isinstance(plan, BlackBox) else len(plan.equation.units)
        self.n = self.n_free + phase.n_queries + len(self.remembered) + self.unknowns
        self.moments, self.ridge_at = moments, size * len(self.remembered)
        self.evaluations = 0

    # ---- directions

    def scales(self, factor: np.float32) -> np.ndarray:
        """factor times each parameter's scale."""
        if isinstance(self.plan, BlackBox):
            return factor * np.maximum(BIAS_SCALE, OWN_SHARE * np.abs(self.theta))
        scales = parameter_scales(self.plan, self.theta)
        if self.n_free:
            scales[self.layers[-1].parameter_offset :] = 0
        return factor * scales

    def _direction(self, query: int) -> np.ndarray:
        return direction(self.plan.n_parameters, Direction.gaussian, self.seed, self.step, query)

    def _remembered_factor(self, k: int) -> np.float32:
        """Brings a remembered step to a direction's length; 0 while there is none."""
        of_box = self.plan.n_parameters if isinstance(self.plan, BlackBox) else 0
        squares = BIAS_SCALE * BIAS_SCALE * np.float32(of_box)
        for cores, scale, biases in () if isinstance(self.plan, BlackBox) else _tensor_scales(self.plan):
            squares = scale * scale * np.float32(cores) + squares
            squares = BIAS_SCALE * BIAS_SCALE * np.float32(biases) + squares
        length = _norm(self.remembered[k])
        return _root(squares) / length if length > 0 else np.float32(0)

    def _perturbed(self, c: int) -> np.ndarray | None:
        """theta + mu v of unknown `c`; None when its column is zero."""
        query = c - self.n_free
        if query < self.phase.n_queries:
            return self.scales(self.mu) * self._direction(query) + self.theta
        k = query - self.phase.n_queries
        if k >= len(self.remembered):
            moved, place = self.theta.copy(), len(self.theta) - self.unknowns + k - len(self.remembered)
            moved[place] = self.theta[place] + self.mu
            return moved
        factor = self._remembered_factor(k)
        return self.mu * factor * self.remembered[k] + self.theta if factor > 0 else None

    # ---- the system

    def build(self) -> None:
        """The triangle of [M, r], and the rows' losses."""
        matrix = np.zeros((self.plan.batch, self.n + 1), np.float32)
        if self.n_free:
            base, columns = self._columns_of_last_layer()
            matrix[:, : self.n_free] = columns.T
        else:
            base = self.residuals(self.theta)
        self.evaluations += 1
        matrix[:, self.n] = base
        self.base_losses = base * base
        per_mu = ONE / self.mu
        for c in range(self.n_free, self.n):
            parameters = self._perturbed(c)
            if parameters is None:
                continue
            matrix[:, c] = (self.residuals(parameters) - base) * per_mu
            self.evaluations += 1
            if not np.isfinite(matrix[:, c]).all():
                raise DeviceError("non_finite", self.step)
        self.triangle = np.zeros((self.n, self.n + 1), np.float32)
        for first in range(0, len(matrix), LIMIT["gn_block_rows"]):
            triangle.fold(self.triangle, matrix[first : first + LIMIT["gn_block_rows"]].copy())

    def _ridge_of(self, first: int, end: int, relative: np.float32) -> np.float32:
        if first == end:
            return np.float32(0)
        mean = triangle.squares(self.triangle, first, end) / np.float32(end - first)
        return _root(relative * mean)

    def solve(self, ridge: np.float32) -> np.ndarray:
        """The coefficients at this ridge."""
        of_free = self._ridge_of(0, self.n_free, max(FREE_SHARE * ridge, LEAST_FREE_RIDGE))
        of_others = self._ridge_of(self.n_free, self.n, ridge)
        solved = self.triangle.copy()
        rows = np.zeros((self.n, self.n + 1), np.float32)
        rows[range(self.n), range(self.n)] = np.where(np.arange(self.n) < self.n_free, of_free, of_others)
        for first in range(0, self.n, LIMIT["gn_block_rows"]):
            triangle.fold(solved, rows[first : first + LIMIT["gn_block_rows"]].copy())
        return triangle.solve(solved, self.n_free, np.float32(self.phase.trust_radius))

    def compose(self, a: np.ndarray) -> np.ndarray:
        """The step sum_k a_k v_k."""
        step = np.zeros_like(self.theta)
        at = self.layers[-1].parameter_offset if self.n_free else 0
        step[at : at + self.n_free] = a[: self.n_free]
        for query in range(self.phase.n_queries):
            step = self.scales(a[self.n_free + query]) * self._direction(query) + step
        for k, remembered in enumerate(self.remembered):
            factor = a[self.n_free + self.phase.n_queries + k] * self._remembered_factor(k)
            step = factor * remembered + step
        for k in range(self.unknowns):
            place = len(step) - self.unknowns + k
            step[place] = step[place] + a[self.n - self.unknowns + k]
        return step

    # ---- the step

    def run(self, rate: np.float32) -> tuple[np.ndarray, np.ndarray, np.float32, np.float32]:
        """New theta and moments, mean loss before, and the step's length. Raises `DeviceError("non_finite")`."""
        with np.errstate(all="ignore"):
            return self._run(rate)

    def _run(self, rate: np.float32) -> tuple[np.ndarray, np.ndarray, np.float32, np.float32]:
        kept = self.moments[self.ridge_at]
        ridge = kept if kept > 0 else np.float32(self.phase.ridge)
        self.build()
        loss = sum_in_order(self.base_losses) * (ONE / np.float32(self.plan.batch))
        if not np.isfinite(loss):
            raise DeviceError("non_finite", self.step)
        falls = False
        for _ in range(LIMIT["gn_tries"]):
            step = self.compose(self.solve(ridge))
            moved = rate * step + self.theta
            residuals = self.residuals(moved)
            self.evaluations += 1
            falls = bool(sum_in_order(residuals * residuals - self.base_losses) < 0)
            falls = falls and bool(np.isfinite(moved).all() and np.isfinite(rate * step).all())
            ridge = ridge * np.float32(0.3 if falls else 10)
            if falls:
                break
        moments = self.moments.copy()
        if falls and self.remembered:
            size = len(self.theta)
            moments[size : 2 * size], moments[:size] = moments[:size], rate * step
        moments[self.ridge_at] = np.clip(ridge, LEAST_RIDGE, LARGEST_RIDGE)
        return (moved if falls else self.theta), moments, loss, _norm(step)
