# SPDX-License-Identifier: MIT
"""Twin of matrix_product.c."""

import numpy as np

from ttzo.exporter.operations.matrix_product import MatrixProduct
from ttzo.host_tools.reference.operations.bounded import Bounded, product


def _shaped(operation: MatrixProduct, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[count, rows, inner, n] and [count, inner, columns, n]."""
    a = a.reshape(operation.count, operation.rows, operation.inner, -1)
    if operation.transposed:
        return a, b.reshape(operation.count, operation.columns, operation.inner, -1).swapaxes(1, 2)
    return a, b.reshape(operation.count, operation.inner, operation.columns, -1)


def forward(operation: MatrixProduct, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    a, b = _shaped(operation, *x)
    total = np.zeros((), a.dtype)
    for k in range(operation.inner):
        total = a[:, :, k, None] * b[:, None, k] + total
    return total.reshape(operation.n_outputs, -1)


def bounded(operation: MatrixProduct, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    a, b = (
        Bounded(*pair)
        for pair in zip(
            _shaped(operation, x[0].exact, x[1].exact), _shaped(operation, x[0].error, x[1].error), strict=True
        )
    )
    n = max(a.exact.shape[3], b.exact.shape[3])
    a, b = (part.moved(lambda values: np.broadcast_to(values, (*values.shape[:3], n))) for part in (a, b))
    return product(a, b, "grkn,gkcn->grcn").moved(lambda part: part.reshape(operation.n_outputs, -1))
