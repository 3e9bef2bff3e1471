# SPDX-License-Identifier: MIT
"""Twin of broadcast.c: sums, differences and products."""

from typing import Any

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.broadcast import Broadcast
from ttzo.host_tools.reference.operations.bounded import Bounded


def _shaped(operation: Broadcast, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (
        a.reshape(operation.outer, operation.middle, operation.inner, -1),
        b.reshape(1, operation.middle, 1, -1),
    )


def _joined(operation: Broadcast, a: Any, b: Any) -> Any:
    if NodeOperation.multiply == operation.CODE:
        return a * b
    return a - b if operation.minus else a + b


def forward(operation: Broadcast, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    return _joined(operation, *_shaped(operation, *x)).reshape(operation.n_outputs, -1)


def bounded(operation: Broadcast, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    exact, error = _shaped(operation, x[0].exact, x[1].exact), _shaped(operation, x[0].error, x[1].error)
    made = _joined(operation, Bounded(exact[0], error[0]), Bounded(exact[1], error[1]))
    return made.moved(lambda part: part.reshape(operation.n_outputs, -1))
