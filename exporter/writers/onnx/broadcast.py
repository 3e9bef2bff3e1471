# SPDX-License-Identifier: MIT
"""Add, Sub and Mul of two arrays."""

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.broadcast import Broadcast
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: Broadcast, tensors: list[str], inputs: list[str]) -> str:
    operator = "Mul" if NodeOperation.multiply == operation.CODE else "Sub" if operation.minus else "Add"
    if (operation.outer, operation.inner) == (1, 1):
        shape = nodes.shape_of[inputs[0]]
        return nodes.add(operator, [inputs[0], nodes.view(inputs[1], shape)], shape)
    shape = (operation.outer, operation.middle, operation.inner)
    first, second = nodes.view(inputs[0], shape), nodes.view(inputs[1], (1, operation.middle, 1))
    return nodes.add(operator, [first, second], shape)
