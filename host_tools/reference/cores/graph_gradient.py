# SPDX-License-Identifier: MIT
"""Twin of graph_gradient.c. The device runs only the nodes that a parameter reaches, to the bits of a whole forward pass;
here every query is one."""

import numpy as np

from ttzo.device_runtime.contract import Difference, Estimator, PhaseRecord
from ttzo.exporter.costs.cost import evaluations_a_step
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.cores.coordinate_window import refreshed
from ttzo.host_tools.reference.network.loss import loss_change, loss_slopes, mean, row_losses
from ttzo.host_tools.reference.operations.graph import model_forward


class GraphEstimate:
    """One estimate of cge or cocd on a batch: arguments as of `CoreEstimate`."""

    def __init__(
        self, plan: Plan, phase: PhaseRecord, theta: np.ndarray, x: np.ndarray, targets: np.ndarray,
        age: int = 0, buffer: np.ndarray | None = None,
    ):  # fmt: skip
        self.plan, self.phase, self.theta, self.x, self.targets, self.buffer = plan, phase, theta, x, targets, buffer
        self.real, self.antithetic = theta.dtype.type, phase.difference == Difference.antithetic
        self.mu = self.real(np.float32(phase.perturb_radius))
        self.wanted = np.ones(plan.n_parameters, bool)
        if phase.estimator == Estimator.cocd:
            self.wanted = refreshed(plan.n_parameters, phase.n_coordinates, age)
        with np.errstate(all="ignore"):
            self.outputs = model_forward(plan, theta, x)
            self.losses = row_losses(plan, self.outputs, targets)
            self.slopes = loss_slopes(plan, self.outputs, targets)
            self.loss = mean(self.losses)
        self.evaluations = evaluations_a_step(plan, phase)

    def gradient(self) -> np.ndarray:
        """The estimate [n_parameters]; not finite where a loss was not."""
        gradient = np.zeros_like(self.theta)
        with np.errstate(all="ignore"):
            for at in np.flatnonzero(self.wanted).tolist():
                difference = self._difference(at, self.mu)
                if self.antithetic:
                    difference = difference - self._difference(at, -self.mu)
                gradient[at] = np.add.accumulate(np.concatenate([[self.real(0)], difference]), dtype=self.real)[-1]
            share, sides = self.real(1) / self.real(len(self.losses)), self.real(1 + self.antithetic)
            gradient = gradient * share * (self.real(1) / (sides * self.real(1) * self.mu))
            if self.buffer is not None:
                gradient = np.where(self.wanted, gradient, np.float32(self.phase.stale_decay) * self.buffer)
        return gradient

    def _difference(self, at: int, move: np.floating) -> np.ndarray:
        """Each row's loss with one parameter moved less its loss."""
        moved = self.theta.copy()
        moved[at] = moved[at] + move
        changes = model_forward(self.plan, moved, self.x) - self.outputs
        return loss_change(self.plan, self.slopes, changes.T[None], self.targets)[0]
