# SPDX-License-Identifier: MIT
"""Twin of scale.c."""

import numpy as np

from ttzo.exporter.operations.scale import Scale
from ttzo.host_tools.reference.operations.bounded import Bounded
from ttzo.host_tools.reference.operations.jet import Jet


def _shaped(operation: Scale, x: np.ndarray) -> np.ndarray:
    return x.reshape(operation.outer, operation.channels, operation.inner, -1)


def forward(operation: Scale, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    y = _shaped(operation, x[0])
    if operation.has_weight:
        y = y * tensors[0][None, :, None, None]
    if operation.has_bias:
        y = y + tensors[-1][None, :, None, None]
    return y.reshape(x[0].shape)


def bounded(operation: Scale, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    y = x[0].moved(lambda part: _shaped(operation, part))
    if operation.has_weight:
        y = y * Bounded.of(tensors[0][None, :, None, None])
    if operation.has_bias:
        y = y + Bounded.of(tensors[-1][None, :, None, None])
    return y.moved(lambda part: part.reshape(x[0].exact.shape))


def jet(operation: Scale, tensors: list[np.ndarray], shape: Jet, x: list[np.ndarray]) -> np.ndarray:
    """The bias belongs to the value alone."""
    made = x[0].copy()
    made[0] = forward(operation, tensors, [x[0][0]])
    if operation.has_weight:
        made[1:] = (
            x[0][1:].reshape(shape.columns - 1, operation.outer, operation.channels, operation.inner, -1)
            * tensors[0][None, :, None, None]
        ).reshape(x[0][1:].shape)
    return made
