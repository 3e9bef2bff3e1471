# SPDX-License-Identifier: MIT
"""LayerNormalization; RMS norm by plain operators."""

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.norm import Norm
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, norm: Norm, tensors: list[str], inputs: list[str]) -> str:
    shape = (norm.outer, norm.size)
    x = nodes.view(inputs[0], shape)
    if NodeOperation.layer_norm == norm.CODE:
        weight = tensors[0] if norm.has_weight else nodes.constant(np.ones(norm.size, np.float32))
        return nodes.add(
            "LayerNormalization", [x, weight, *tensors[norm.has_weight :]], shape, axis=2, epsilon=norm.epsilon
        )
    square = nodes.add("ReduceMean", [nodes.add("Mul", [x, x], shape)], (norm.outer, 1), axes=[2], keepdims=1)
    raised = nodes.add("Add", [square, nodes.constant(np.float32(norm.epsilon))], (norm.outer, 1))
    made = nodes.add("Div", [x, nodes.add("Sqrt", [raised], (norm.outer, 1))], shape)
    return nodes.add("Mul", [made, tensors[0]], shape) if norm.has_weight else made
