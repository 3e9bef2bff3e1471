# SPDX-License-Identifier: MIT
"""ReduceMean and ReduceMax of an axis."""

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import AlongAxis
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: AlongAxis, tensors: list[str], inputs: list[str]) -> str:
    x = nodes.view(inputs[0], (operation.outer, operation.size, operation.inner))
    operator = "ReduceMax" if NodeOperation.global_max == operation.CODE else "ReduceMean"
    return nodes.add(operator, [x], (operation.outer, operation.inner), axes=[2], keepdims=0)
