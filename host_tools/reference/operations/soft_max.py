# SPDX-License-Identifier: MIT
"""Twin of soft_max.c."""

import numpy as np

from ttzo.exporter.operations.soft_max import SoftMax
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.operations.bounded import UNIT, Bounded


def _counted(operation: SoftMax) -> np.ndarray:
    """[outer, size, 1, 1]: which entries count."""
    if not operation.causal:
        return np.ones((1, operation.size, 1, 1), bool)
    row = np.arange(operation.outer)[:, None] % operation.size
    return (np.arange(operation.size) <= row)[:, :, None, None]


def forward(operation: SoftMax, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    shaped, counted = x[0].reshape(operation.outer, operation.size, operation.inner, -1), _counted(operation)
    largest = np.where(counted, shaped, np.float32(-np.inf)).max(axis=1, keepdims=True)
    powers = np.where(counted, real.exp(shaped - largest), np.float32(0))
    total = np.zeros_like(largest)
    for k in range(operation.size):
        total = total + powers[:, k : k + 1]
    return (powers / total).reshape(x[0].shape)


def bounded(operation: SoftMax, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    shaped = x[0].moved(lambda part: part.reshape(operation.outer, operation.size, operation.inner, -1))
    counted = _counted(operation)
    scores = np.where(counted, shaped.exact, -np.inf)
    below = scores - scores.max(axis=1, keepdims=True)
    share = np.exp(below)
    share = share / share.sum(axis=1, keepdims=True)
    moved = np.where(counted, shaped.error, 0).max(axis=1, keepdims=True)
    distance = np.where(counted, np.abs(below), 0)
    relative = np.expm1(2 * moved + UNIT * (distance + distance.max(axis=1, keepdims=True)))
    error = share * (relative + (operation.size + 12) * UNIT) + 2.0**-126
    return Bounded(share, error).moved(lambda part: np.broadcast_to(part, shaped.exact.shape).reshape(x[0].exact.shape))
