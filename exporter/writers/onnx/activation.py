# SPDX-License-Identifier: MIT
"""Activations as ONNX's own operators; gelu by Erf."""

import numpy as np

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.writers.onnx.nodes import Nodes

PLAIN = {
    Activation.relu: "Relu",
    Activation.tanh: "Tanh",
    Activation.sine: "Sin",
    Activation.hard_swish: "HardSwish",
    Activation.sigmoid: "Sigmoid",
    Activation.identity: "Identity",
}


def write(nodes: Nodes, operation: Activate, tensors: list[str], inputs: list[str]) -> str:
    (x,), shape = inputs, nodes.shape_of[inputs[0]]
    if operation.activation in PLAIN:
        return nodes.add(PLAIN[operation.activation], [x], shape)
    if operation.activation == Activation.leaky_relu:
        return nodes.add("LeakyRelu", [x], shape, alpha=operation.slope)
    if operation.activation == Activation.relu6:
        return nodes.add("Clip", [x, *(nodes.constant(np.float32(bound)) for bound in (0, 6))], shape)
    if operation.activation == Activation.silu:
        return nodes.add("Mul", [x, nodes.add("Sigmoid", [x], shape)], shape)
    error = nodes.add("Erf", [nodes.add("Div", [x, nodes.constant(np.float32(np.sqrt(2)))], shape)], shape)
    share = nodes.add("Add", [error, nodes.constant(np.float32(1))], shape)
    return nodes.add("Mul", [nodes.add("Mul", [x, nodes.constant(np.float32(0.5))], shape), share], shape)
