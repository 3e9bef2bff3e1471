# SPDX-License-Identifier: MIT
"""All nodes of a plan's graph, and its frozen parameters."""

import math
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.plan.graph import Node, is_int8
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx import (
    activation,
    affine,
    broadcast,
    concat,
    global_pooling,
    learnt_array,
    matrix_product,
    norm,
    pooling,
    recurrent,
    scale,
    slice,
    soft_max,
    transpose,
)
from ttzo.exporter.writers.onnx.nodes import Nodes
from ttzo.exporter.writers.onnx.onnx_nodes import NodeProto, TensorProto, helper, numpy_helper

WRITERS: dict[NodeOperation, ModuleType] = {
    NodeOperation.affine: affine,
    NodeOperation.activation: activation,
    NodeOperation.scale: scale,
    NodeOperation.learnt_array: learnt_array,
    NodeOperation.add: broadcast,
    NodeOperation.multiply: broadcast,
    NodeOperation.concat: concat,
    NodeOperation.slice: slice,
    NodeOperation.transpose: transpose,
    NodeOperation.max_pool: pooling,
    NodeOperation.average_pool: pooling,
    NodeOperation.global_mean: global_pooling,
    NodeOperation.global_max: global_pooling,
    NodeOperation.soft_max: soft_max,
    NodeOperation.layer_norm: norm,
    NodeOperation.rms_norm: norm,
    NodeOperation.matrix_product: matrix_product,
    NodeOperation.recurrent: recurrent,
}


def tensors_of(plan: Plan) -> Iterator[tuple[Node, list[str]]]:
    """Each node in order, with the names of its parameter tensors: where it shares them, its owner's."""
    owners: dict[tuple[bool, int], Node] = {}
    for node in plan.graph.nodes:
        owner = owners.setdefault((node.frozen, node.parameters), node) if node.shared else node
        if not node.shared:
            owners[node.frozen, node.parameters] = node
        yield node, [tensor.name for tensor in owner.tensors]


def network(plan: Plan) -> list[NodeProto]:
    """The nodes from `x` to `outputs`; every parameter tensor is there by its name."""
    nodes = Nodes({"x": (plan.in_features,)})
    values = {0: "x"}
    for node, tensors in tensors_of(plan):
        nodes.begin(node.name)
        if node.frozen and not node.shared:
            _dequantize(nodes, node)
        inputs = [values[array] for array in node.inputs]
        values[node.output] = WRITERS[node.operation.CODE].write(nodes, node.operation, tensors, inputs)
    end = values[plan.graph.nodes[-1].output]
    nodes.begin("outputs")
    shape = nodes.constant(np.array((-1, plan.out_features), np.int64), "shape")
    nodes.made.append(helper.make_node("Reshape", [end, shape], ["outputs"], "outputs"))
    return nodes.made


def dequantize_frozen(nodes: Nodes, plan: Plan) -> None:
    """The 8-bit parameters of frozen nodes as float32, by their names."""
    for node in plan.graph.nodes:
        if node.frozen and not node.shared:
            _dequantize(nodes, node)


def _dequantize(nodes: Nodes, node: Node) -> None:
    for tensor in node.tensors:
        if is_int8(node, tensor.shape):
            names = [f"{tensor.name}.int8", f"{tensor.name}.scale"]
            nodes.made.append(
                helper.make_node("DequantizeLinear", names, [tensor.name], f"{tensor.name}.float", axis=0)
            )


def frozen_tensors(plan: Plan) -> list[TensorProto]:
    """Initialisers of the parameters of frozen nodes."""
    made = []
    for node in plan.graph.nodes:
        at = 4 * node.parameters
        for tensor in node.tensors if node.constant_bytes else ():
            if is_int8(node, tensor.shape):
                rows, size = tensor.shape[0], math.prod(tensor.shape)
                scales = np.frombuffer(plan.constants, "<f4", rows, at)
                numbers = np.frombuffer(plan.constants, np.int8, size, at + 4 * rows).reshape(tensor.shape)
                made += [numpy_helper.from_array(numbers, f"{tensor.name}.int8")]
                made += [numpy_helper.from_array(scales.astype(np.float32), f"{tensor.name}.scale")]
                at += 4 * rows + 4 * math.ceil(size / 4)
            else:
                values = np.frombuffer(plan.constants, "<f4", tensor.size, at).astype(np.float32)
                made.append(numpy_helper.from_array(values.reshape(tensor.shape), tensor.name))
                at += 4 * tensor.size
    return made
