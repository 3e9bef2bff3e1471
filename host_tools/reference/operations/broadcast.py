# SPDX-License-Identifier: MIT
"""Twin of broadcast.c: sums, differences and products."""

from typing import Any

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.broadcast import Broadcast
from ttzo.host_tools.reference.operations.bounded import Bounded
from ttzo.host_tools.reference.operations.jet import Jet


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


def jet(operation: Broadcast, tensors: list[np.ndarray], shape: Jet, x: list[np.ndarray]) -> np.ndarray:
    """Of a product: Leibniz's rule."""
    a = x[0].reshape(len(x[0]), operation.outer, operation.middle, operation.inner, -1)
    b = x[1].reshape(len(x[1]), 1, operation.middle, 1, -1)
    made = np.empty((shape.columns, *a.shape[1:-1], max(a.shape[-1], b.shape[-1])), np.float32)
    (a1, b1, out1), two, three = (shape.of_order(each, 1) for each in (a, b, made)), np.float32(2), np.float32(3)
    made[0] = a[0] * b[0]
    out1[:] = a1 * b[0] + a[0] * b1
    if shape.order > 1:
        a2, b2 = shape.of_order(a, 2), shape.of_order(b, 2)
        shape.of_order(made, 2)[:] = two * a1 * b1 + (a2 * b[0] + a[0] * b2)
    if shape.order > 2:
        a3, b3 = shape.of_order(a, 3), shape.of_order(b, 3)
        shape.of_order(made, 3)[:] = three * (a2 * b1 + a1 * b2) + (a3 * b[0] + a[0] * b3)
    if shape.n_summed:
        crossed = np.zeros_like(made[0])
        for each in (a1 * b1)[: shape.n_summed]:
            crossed = each + crossed
        made[-1] = two * crossed + (a[-1] * b[0] + a[0] * b[-1])
    return made.reshape(shape.columns, operation.n_outputs, -1)
