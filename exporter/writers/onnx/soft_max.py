# SPDX-License-Identifier: MIT
"""Softmax, in front of it a mask where it is causal."""

import numpy as np

from ttzo.exporter.operations.soft_max import SoftMax
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: SoftMax, tensors: list[str], inputs: list[str]) -> str:
    if not operation.causal:
        shape = (operation.outer, operation.size, operation.inner)
        return nodes.add("Softmax", [nodes.view(inputs[0], shape)], shape, axis=2)
    n = operation.size
    shape = (operation.outer // n, n, n)
    mask, lowest = nodes.constant(np.tri(n, dtype=bool), "mask"), nodes.constant(np.float32(-3e38))
    scores = nodes.add("Where", [mask, nodes.view(inputs[0], shape), lowest], shape)
    return nodes.add("Softmax", [scores], shape, axis=3)
