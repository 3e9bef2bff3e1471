# SPDX-License-Identifier: MIT
"""Twin of gathered_layer.c: what the applications of a layer read, and what becomes of their outputs. Arrays of a batch have it
as their last axis; applications stand before it, side by side: [features, positions * n]."""

import numpy as np

from ttzo.device_runtime.contract import Combine
from ttzo.exporter.operations.gathering import Patches, Tokens
from ttzo.exporter.operations.layer import Layer


def gathered(layer: Layer, x: np.ndarray) -> np.ndarray:
    """The layer's input array [n_inputs, n] -> inputs of its applications [in_features, positions * n]: `x` itself,
    patches of the image, or unit vectors of tokens (zeros for the padding)."""
    if layer.gather is None:
        return x
    if isinstance(layer.gather, Patches):
        with_border = np.concatenate([x, np.zeros_like(x[:1])])
        return with_border[layer.gather.table.T].reshape(layer.in_features, -1)
    known = np.arange(layer.in_features)[:, None, None]
    units = (known == x.astype(np.int64)) & (known != _padding(layer.tokens))
    return units.astype(x.dtype).reshape(layer.in_features, -1)


def combined(layer: Layer, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Outputs of the applications [out_features, positions * n] -> the layer's output array [n_outputs, n]. `x` are its
    inputs, which determine how many tokens count."""
    if layer.gather is None:
        return z
    n, made = x.shape[1], z.reshape(layer.out_features, layer.positions, -1)
    if isinstance(layer.gather, Patches):
        return made.reshape(-1, n)
    if layer.tokens.combine == Combine.each:
        return np.ascontiguousarray(made.swapaxes(0, 1)).reshape(-1, n)
    total = np.zeros((layer.out_features, n), z.dtype)
    for t in range(layer.positions):
        total = total + made[:, t]
    if layer.tokens.combine == Combine.sum:
        return total
    return total / tokens_that_count(layer, x)


def tokens_that_count(layer: Layer, x: np.ndarray) -> np.ndarray:
    """What a mean of the token vectors is divided by, [n] of x's dtype: at least 1."""
    count = (x.astype(np.int64) != _padding(layer.tokens)).sum(axis=0)
    return np.maximum(count, 1).astype(x.dtype)


def _padding(tokens: Tokens) -> int:
    return -1 if tokens.padding is None else tokens.padding
