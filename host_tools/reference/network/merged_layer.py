# SPDX-License-Identifier: MIT
"""Twin of merged_layer.c: layers of a PDE's network with their cores merged."""

import numpy as np

from ttzo.exporter.operations.layer import Layer
from ttzo.host_tools.reference.network.product import multiply


def merge_cores(layer: Layer, theta: np.ndarray) -> tuple[Layer, np.ndarray]:
    """The layer with its cores merged, and the parameter vector it then has; both as they are where none is merged."""
    merged = layer.merged
    if merged is layer:
        return layer, theta
    tensors = [theta[t.offset : t.offset + t.size].reshape(t.shape) for t in layer.tensors]
    parts: list[np.ndarray] = []
    for k, count in layer.cores_together:
        made = tensors[k]
        if count == 2:
            left, right = made.reshape(-1, 1, made.shape[-1]), tensors[k + 1].reshape(made.shape[-1], 1, -1)
            made = multiply(left, right, np.float32(0))
        parts.append(made.reshape(-1))
    if layer.has_bias:
        parts.append(tensors[-1])
    return merged, np.concatenate(parts)
