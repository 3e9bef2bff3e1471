# SPDX-License-Identifier: MIT
"""Twin of loss.c: losses row by row, and where they come from: NumPy or onnxruntime."""

from typing import Protocol

import numpy as np

from ttzo.device_runtime.contract import Arithmetic, Loss, TtzoError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import pde
from ttzo.host_tools.reference.network.network import forward
from ttzo.host_tools.reference.number import real


class Network(Protocol):
    """What a training loop asks of a model. `x` float32 [n, in_features], `targets` int64 [n] or float32 [n, out]."""

    def outputs(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Outputs float32 [n, out_features]."""

    def losses(self, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Each row's loss, float32 [n]."""

    def residuals(self, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
        """With a PDE: the weighted residuals of a step's rows at its points [inputs, batch], float32 [batch]."""


def sum_in_order(values: np.ndarray) -> np.float32:
    """0 + v_0 + v_1 + ...: one float32 chain in ascending order."""
    return np.add.accumulate(np.concatenate([np.zeros(1, np.float32), values]), dtype=np.float32)[-1]


def cross_entropy(outputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Softmax cross-entropy of each row: outputs float32 [n, k], classes int64 [n] -> float32 [n]."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    sums = np.zeros(len(outputs), np.float32)
    for column in real.exp(shifted).T:
        sums = sums + column
    return real.log(sums) - shifted[np.arange(len(outputs)), classes]


def mean_squared_error(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean squared error of each row: outputs and targets float32 [n, k] -> float32 [n]."""
    sums = np.zeros(len(outputs), np.float32)
    for difference in (outputs - targets).T:
        sums = difference * difference + sums
    return sums * (np.float32(1) / np.float32(outputs.shape[1]))


class NumpyNetwork:
    """The reference: the bits of the C runtime in `separate` arithmetic."""

    def __init__(self, plan: Plan):
        if plan.arithmetic != Arithmetic.separate:
            raise TtzoError(
                "the NumPy reference computes in `separate` arithmetic, the model is `fused`",
                "take native:, or export with --arithmetic separate",
            )
        self.plan = plan

    def outputs(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return forward(self.plan, theta, x)

    def residuals(self, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
        return pde.residuals(self.plan, theta, points, seed, step)

    def losses(self, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            outputs = forward(self.plan, theta, x)
            if self.plan.loss == Loss.cross_entropy:
                return cross_entropy(outputs, targets)
            return mean_squared_error(outputs, targets)
