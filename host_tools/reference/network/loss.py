# SPDX-License-Identifier: MIT
"""Twin of loss.c: losses row by row."""

import numpy as np

from ttzo.host_tools.reference.number import real


def sum_in_order(values: np.ndarray) -> np.float32:
    """0 + v_0 + v_1 + ...: one float32 chain in ascending order."""
    return np.add.accumulate(np.concatenate([np.zeros(1, np.float32), values]), dtype=np.float32)[-1]


def mean(losses: np.ndarray) -> np.float32:
    return sum_in_order(losses) * (np.float32(1) / np.float32(len(losses)))


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
