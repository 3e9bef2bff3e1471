# SPDX-License-Identifier: MIT
"""Twin of unit_gradient.c: from the differences of a layer's units to the derivatives of its entries.

The batch is the last axis of everything that depends on the sample; sums over samples are chains in their order.
"""

import numpy as np

from ttzo.exporter.costs.core_memory import Assembled, matrix_split
from ttzo.exporter.operations.layer import Layer
from ttzo.host_tools.reference.cores.environments import ZERO, cores, left_product, matrix_of, right_product
from ttzo.host_tools.reference.network.product import multiply


def forward(layer: Layer, by: Assembled, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Inputs [in_features, batch] -> pre-activations [out_features, batch], by matrix or by halves."""
    bias = (
        theta[layer.tensors[-1].offset :][: layer.out_features]
        if layer.has_bias
        else np.zeros_like(theta, shape=layer.out_features)
    )
    if by == Assembled.matrix:
        return multiply(matrix_of(layer, theta).T[:, None], x[:, None], bias[:, None])
    left, right = _halves(layer, theta)
    middle = _middle(left, x)  # [rank, ml, nr, batch]
    (rank, ml, nr, n), mr = middle.shape, right.shape[1]
    columns = middle.transpose(0, 2, 1, 3).reshape(rank * nr, ml, 1, n)
    rows = right.transpose(1, 0, 2).reshape(mr, 1, rank * nr)
    return multiply(rows, columns, bias.reshape(ml, mr, 1)).reshape(-1, n)


def assemble(
    layer: Layer, by: Assembled, theta: np.ndarray, x: np.ndarray, differences: np.ndarray
) -> list[np.ndarray]:
    """The derivatives of the layer's cores, each (left, m, n, right), of inputs [in_features, batch] and the units'
    differences [out_features, batch]."""
    g, split = cores(layer, theta), matrix_split(layer)
    if by == Assembled.matrix:
        matrix = multiply(differences[:, None], x.T[:, None], ZERO)
        if len(g) == 1:
            return [matrix.reshape(g[0].shape)]
        left, right = left_product(g, split), right_product(g, split - 1)
        product = matrix.reshape(left.shape[0], right.shape[1], left.shape[1], right.shape[2])
        to_left, to_right = _first_factor(product, right), _second_factor(product, left)
    else:
        to_left, to_right = _sums(*_halves(layer, theta), x, differences)
    return _split_left(g[:split], to_left) + _split_right(g[split:], to_right)


def _halves(layer: Layer, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[rank, ml, nl] and [rank, mr, nr]"""
    g, split = cores(layer, theta), matrix_split(layer)
    return left_product(g, split).transpose(2, 0, 1), right_product(g, split - 1)


def _middle(left: np.ndarray, x: np.ndarray) -> np.ndarray:
    inputs = x.reshape(left.shape[2], -1, x.shape[1])  # [nl, nr, batch]
    return multiply(left[:, :, None, None], inputs[:, None, None], ZERO)


def _sums(left: np.ndarray, right: np.ndarray, x: np.ndarray, differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of both halves, [ml, nl, rank] and [rank, mr, nr]."""
    (_, ml, nl), (_, mr, nr) = left.shape, right.shape
    middle, inputs, units = _middle(left, x), x.reshape(nl, nr, -1), differences.reshape(ml, mr, -1)
    to_left, to_right = np.zeros_like(left), np.zeros_like(right)
    for sample in range(x.shape[1]):
        d = units[..., sample]
        after = multiply(d[None, :, None], right.swapaxes(0, 1)[:, :, None], ZERO)  # [rank, ml, nr]
        to_left = multiply(after[:, :, None], inputs[..., sample].T[:, None, None], to_left)
        to_right = multiply(d.T[None, :, None], middle[..., sample].swapaxes(0, 1)[:, :, None], to_right)
    return to_left.transpose(1, 2, 0), to_right


def _first_factor(product: np.ndarray, second: np.ndarray) -> np.ndarray:
    """P [q, m, n, t] = sum over r of A[q, n, r] B[r, m, t]: from the derivative of P to that of A."""
    q, m, n, t = product.shape
    rows = product.transpose(0, 2, 1, 3).reshape(q, n, 1, m * t)
    return multiply(rows, second.reshape(-1, m * t).T[:, None, None], ZERO)


def _second_factor(product: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The same to that of B."""
    q, m, n, t = product.shape
    rows = product.transpose(0, 2, 1, 3).reshape(q * n, m, t)
    return multiply(first.reshape(q * n, -1).T[:, None, None], rows[:, None], ZERO)


def _split_left(g: list[np.ndarray], product: np.ndarray) -> list[np.ndarray]:
    """From the derivative of a product of cores [m, n, right rank], none before them, to theirs."""
    if len(g) == 1:
        return [product.reshape(g[0].shape)]
    before, (_, m, n, right) = left_product(g, len(g) - 1), g[-1].shape
    parts = product.reshape(before.shape[0], m, before.shape[1], n * right)
    last = _second_factor(parts, before).reshape(g[-1].shape)
    return [*_split_left(g[:-1], _first_factor(parts, g[-1].reshape(g[-1].shape[0], m, -1))), last]


def _split_right(g: list[np.ndarray], product: np.ndarray) -> list[np.ndarray]:
    """The same for a product [left rank, m, n], none after them."""
    if len(g) == 1:
        return [product.reshape(g[0].shape)]
    after, (left, m, n, right) = right_product(g, 0), g[0].shape
    parts = product.reshape(left * m, after.shape[1], n, after.shape[2])
    first = _first_factor(parts, after).reshape(g[0].shape)
    return [first, *_split_right(g[1:], _second_factor(parts, g[0].reshape(left * m, n, right)))]
