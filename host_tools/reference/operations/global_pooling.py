# SPDX-License-Identifier: MIT
"""Twin of global_pooling.c."""

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import AlongAxis
from ttzo.host_tools.reference.operations.bounded import Bounded


def _shaped(operation: AlongAxis, x: np.ndarray) -> np.ndarray:
    return x.reshape(operation.outer, operation.size, operation.inner, -1)


def forward(operation: AlongAxis, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    shaped = _shaped(operation, x[0])
    made = shaped[:, 0] if NodeOperation.global_max == operation.CODE else np.zeros_like(shaped[:, 0])
    if NodeOperation.global_max == operation.CODE:
        for k in range(1, operation.size):
            part = shaped[:, k]
            made = np.where((part > made) | (part != part), part, made)
    else:
        for k in range(operation.size):
            made = made + shaped[:, k]
        made = made / x[0].dtype.type(operation.size)
    return made.reshape(operation.n_outputs, -1)


def bounded(operation: AlongAxis, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    shaped = x[0].moved(lambda part: _shaped(operation, part))
    if NodeOperation.global_max == operation.CODE:
        made = shaped.moved(lambda part: part.max(axis=1))
    else:
        total = shaped.sum(1)
        made = total.moved(lambda part: part / operation.size).rounded()
    return made.moved(lambda part: part.reshape(operation.n_outputs, -1))
