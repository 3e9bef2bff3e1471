# SPDX-License-Identifier: MIT
"""Twin of broadcast.c: sums, differences and products."""

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.broadcast import Broadcast
from ttzo.host_tools.reference.operations.bounded import Bounded


def _shaped(operation: Broadcast, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (
        a.reshape(operation.outer, operation.middle, operation.inner, -1),
        b.reshape(1, operation.middle, 1, -1),
    )


def forward(operation: Broadcast, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    a, b = _shaped(operation, *x)
    if NodeOperation.multiply == operation.CODE:
        y = a * b
    else:
        y = a - b if operation.minus else a + b
    return y.reshape(operation.n_outputs, -1)


def bounded(operation: Broadcast, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    (a, b), (error_a, error_b) = _shaped(operation, x[0].exact, x[1].exact), _shaped(operation, x[0].error, x[1].error)
    left, right = Bounded(a, error_a), Bounded(b, error_b)
    if NodeOperation.multiply == operation.CODE:
        y = left * right
    else:
        y = left - right if operation.minus else left + right
    return y.moved(lambda part: part.reshape(operation.n_outputs, -1))
