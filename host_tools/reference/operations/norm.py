# SPDX-License-Identifier: MIT
"""Twin of norm.c: layer norm and RMS norm."""

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.norm import Norm
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.operations.bounded import UNIT, Bounded

ONE = np.float32(1)


def forward(norm: Norm, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    y, size = x[0].reshape(norm.outer, norm.size, -1), np.float32(norm.size)
    if NodeOperation.layer_norm == norm.CODE:
        total = np.zeros_like(y[:, 0])
        for k in range(norm.size):
            total = total + y[:, k]
        y = y - (total / size)[:, None]
    squares = np.zeros_like(y[:, 0])
    for k in range(norm.size):
        squares = y[:, k] * y[:, k] + squares
    y = y * (ONE / real.sqrt(squares / size + np.float32(norm.epsilon)))[:, None]
    if norm.has_weight:
        y = y * tensors[0][None, :, None]
    if norm.has_bias:
        y = y + tensors[-1][None, :, None]
    return y.reshape(x[0].shape)


def bounded(norm: Norm, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    d = x[0].moved(lambda part: part.reshape(norm.outer, norm.size, -1))
    if NodeOperation.layer_norm == norm.CODE:
        mean = d.sum(1).moved(lambda part: part[:, None] / norm.size).rounded()
        d = d - mean
    squares = (d * d).sum(1).moved(lambda part: part[:, None] / norm.size).rounded()
    root = np.sqrt(squares.exact + norm.epsilon)
    # the square root of a number that is off by e is off by no more than e / root
    inverse = Bounded(
        1 / root, squares.error / (root * np.maximum(root**2 - squares.error, root**2 / 4)) + 4 * UNIT / root
    )
    y = d * inverse
    if norm.has_weight:
        y = y * Bounded.of(tensors[0][None, :, None])
    if norm.has_bias:
        y = y + Bounded.of(tensors[-1][None, :, None])
    return y.moved(lambda part: part.reshape(x[0].exact.shape))
