# SPDX-License-Identifier: MIT
"""weight x + bias: Mul and Add."""

from ttzo.exporter.operations.scale import Scale
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: Scale, tensors: list[str], inputs: list[str]) -> str:
    shape = (operation.outer, operation.channels, operation.inner)
    made = nodes.view(inputs[0], shape)
    if operation.has_weight:
        made = nodes.add("Mul", [made, nodes.reshaped(tensors[0], (operation.channels, 1))], shape)
    if operation.has_bias:
        made = nodes.add("Add", [made, nodes.reshaped(tensors[-1], (operation.channels, 1))], shape)
    return made
