# SPDX-License-Identifier: MIT
"""Transpose of up to four axes."""

from ttzo.exporter.operations.transpose import Transpose
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: Transpose, tensors: list[str], inputs: list[str]) -> str:
    count = max(axis + 1 for axis, size in enumerate(operation.sizes) if size > 1)
    x, axes = nodes.view(inputs[0], operation.sizes[:count]), operation.axes[:count]
    shape = tuple(operation.sizes[axis] for axis in axes)
    return nodes.add("Transpose", [x], shape, perm=[0, *(axis + 1 for axis in axes)])
