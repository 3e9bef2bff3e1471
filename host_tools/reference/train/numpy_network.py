# SPDX-License-Identifier: MIT
"""Where the training loop's losses come from: what it asks of any model, and the answers of NumPy."""

import dataclasses
from typing import Protocol

import numpy as np

from ttzo.device_runtime.contract import Arithmetic, Derivative, TtzoError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import compensated_jet, pde
from ttzo.host_tools.reference.network.loss import row_losses
from ttzo.host_tools.reference.operations.graph import model_forward


class Network(Protocol):
    """What a training loop asks of a model. `x` float32 [n, in_features], `targets` int64 [n] or [n, places], or float32 [n, out]."""

    def outputs(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Outputs float32 [n, out_features]."""

    def losses(self, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Each row's loss, float32 [n]."""

    def residuals(self, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
        """With a PDE: the weighted residuals of a step's rows at its points [inputs, batch], float32 [batch]."""


def in_separate(plan: Plan) -> Plan:
    """The plan in the reference's arithmetic, for what need not have the last bits of a device that is `fused`."""
    return dataclasses.replace(plan, arithmetic=Arithmetic.separate)


class NumpyNetwork:
    """The reference: the bits of the C runtime in `separate` arithmetic."""

    def __init__(self, plan: Plan):
        if plan.arithmetic != Arithmetic.separate:
            raise TtzoError(
                "the NumPy reference computes in `separate` arithmetic, the model is `fused`",
                "use native:, or export with --arithmetic separate",
            )
        self.plan = plan

    def outputs(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        if self.plan.pde and self.plan.pde.derivative == Derivative.compensated_jet:
            with np.errstate(all="ignore"):
                return np.ascontiguousarray(compensated_jet.value(self.plan, theta, np.ascontiguousarray(x.T)).T)
        return model_forward(self.plan, theta, x)

    def residuals(self, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
        return pde.residuals(self.plan, theta, points, seed, step)

    def losses(self, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return row_losses(self.plan, model_forward(self.plan, theta, x), targets)
