# SPDX-License-Identifier: MIT
"""Twin of estimator.c: gradient estimates from losses alone (paper eq. 2)."""

from collections.abc import Callable, Sequence

import numpy as np

from ttzo.device_runtime.contract import DeviceError, Difference, Direction, Estimator, PhaseRecord
from ttzo.host_tools.reference.cores.coordinate_window import refreshed
from ttzo.host_tools.reference.network.loss import mean
from ttzo.host_tools.reference.number.random import direction

Losses = Callable[[np.ndarray], np.ndarray]


class Estimate:
    """One gradient estimate at `theta` by whole loss evaluations: `losses(parameters)` gives the batch's losses, row by
    row. An estimator that reuses environments is computed by its definition: node_cge as the coordinates' own
    differences, block_rge with directions of which only one of `blocks` (slices of theta) is not zero."""

    def __init__(self, phase: PhaseRecord, seed: int, step: int, theta: np.ndarray, losses: Losses,
                 blocks: Sequence[slice] = (), age: int = 0, buffer: np.ndarray | None = None):  # fmt: skip
        self.blocks, self.age, self.buffer = blocks, age, buffer
        self.phase, self.seed, self.step, self.theta = phase, seed, step, theta
        self._losses = losses
        self.evaluations = 0
        self.base = self.losses(theta)
        self.loss = self._finite(mean(self.base))

    def losses(self, parameters: np.ndarray) -> np.ndarray:
        self.evaluations += 1
        return self._losses(parameters)

    def _finite(self, value: np.float32) -> np.float32:
        if not np.isfinite(value):
            raise DeviceError("non_finite", self.step)
        return value

    def difference(self, plus: np.ndarray, minus: np.ndarray) -> np.float32:
        """Mean loss difference of one query; antithetic: between theta + mu v and theta - mu v."""
        if self.phase.difference == Difference.antithetic:
            self.base = self.losses(minus)
        with np.errstate(all="ignore"):
            return self._finite(mean(self.losses(plus) - self.base))

    def gradient(self) -> np.ndarray:
        """The estimate, float32 [n_parameters]. Raises `DeviceError("non_finite")` at the first loss that is not one."""
        if self.phase.estimator == Estimator.rge:
            return self.random_directions(slice(None))
        if self.phase.estimator == Estimator.block_rge:
            return np.concatenate([self.random_directions(block, k)[block] for k, block in enumerate(self.blocks)])
        if self.buffer is None:  # all but cocd
            return self.coordinates(np.ones(len(self.theta), bool))
        wanted = refreshed(len(self.theta), self.phase.n_coordinates, self.age)
        return np.where(wanted, self.coordinates(wanted), np.float32(self.phase.stale_decay) * self.buffer)

    def random_directions(self, block: slice, number: int = 0) -> np.ndarray:
        mu, n = np.float32(self.phase.perturb_radius), self.phase.n_queries
        sides = 2 if self.phase.difference == Difference.antithetic else 1
        scale = np.float32(1) / (np.float32(sides * n) * mu)
        gradient = np.zeros_like(self.theta)
        for query in range(n):
            v, kind = np.zeros_like(self.theta), Direction(self.phase.direction)
            v[block] = direction(len(self.theta[block]), kind, self.seed, self.step, number * n + query)
            difference = self.difference(mu * v + self.theta, -mu * v + self.theta)
            gradient = (difference * scale) * v + gradient
        return gradient

    def coordinates(self, wanted: np.ndarray) -> np.ndarray:
        mu = np.float32(self.phase.perturb_radius)
        antithetic = self.phase.difference == Difference.antithetic
        scale = np.float32(1) / (np.float32(2) * mu if antithetic else mu)
        gradient = np.zeros_like(self.theta)
        plus, minus = self.theta.copy(), self.theta.copy()
        for i in np.flatnonzero(wanted):
            value = self.theta[i]
            plus[i], minus[i] = value + mu, value - mu
            gradient[i] = self.difference(plus, minus) * scale
            plus[i] = minus[i] = value
        return gradient
