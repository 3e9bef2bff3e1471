# SPDX-License-Identifier: MIT
"""A plan's forward pass as a TFLite flatbuffer, for LiteRT on a desk and TFLite Micro on a board.

Float32 builtin operators only, each in version 1. Of chains: FULLY_CONNECTED, RESHAPE, TRANSPOSE (of rank 3), ADD, RELU,
TANH, SIN, which TFLite Micro has too; with convolutions PAD and GATHER of the patches; with embeddings EQUAL, CAST, SUM,
MAXIMUM and DIV, which make unit vectors of tokens and their mean. Of graphs see tflite_nodes.py. The input `x` is what the
network sees, after the plan's input scale and offset, or a sensor's `readings` where the model normalises: float32 [1, in_features]; the output is `outputs`, float32
[1, out_features]. The first axis may be resized to any batch. Weights carry the names of the plan's tensors; frozen int8
weights stand there as the float32 numbers that a device computes with.

A contraction (repeats, rows, inner, columns) of `Layer.contractions` is one FULLY_CONNECTED, which sums over the last
axis, between two TRANSPOSEs that bring `inner` there and back; they are left out where they move nothing. Weights
are written as FULLY_CONNECTED requires them, [outputs, inner]: for the cores of a 2L-way TT that is a transpose.
"""

from collections import Counter

import tflite

from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.freeze import thawed
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.normalisation import InputNormalisation
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.tflite_file import FileGraph, serialize
from ttzo.exporter.writers.tflite_layer import Arrays, layer
from ttzo.exporter.writers.tflite_nodes import Nodes


def tflite_bytes(plan: Plan) -> bytes:
    """The `.tflite` file of the plan at its parameters; equal plans give equal bytes.

    Raises:
        PlanError: a node that the format does not have, by name.
    """
    graph = FileGraph()
    plan = thawed(plan) if plan.constants else plan  # a TFLite file says nothing about training
    first = x = graph.activation("readings" if plan.normalisation else "x", (plan.in_features,))
    if plan.normalisation:
        x = _normalised(graph, plan.normalisation.of_inputs(plan.in_features), x)
    outputs = _nodes(graph, plan, x) if plan.chain is None else _layers(graph, plan, x)
    graph.tensors[outputs].name = "outputs"
    return serialize(graph, inputs=[first], outputs=[outputs])


def _normalised(graph: FileGraph, found: InputNormalisation, x: int) -> int:
    """What the network sees, of readings."""
    for name, code, numbers in (
        ("centre", tflite.BuiltinOperator.ADD, -found.centre),
        ("rest", tflite.BuiltinOperator.ADD, -found.rest),
        ("factor", tflite.BuiltinOperator.MUL, found.factor),
    ):
        x = graph.elementwise(code, [x, graph.constant(f"readings.{name}", numbers)], f"readings.{name}.out")
    return x


def _layers(graph: FileGraph, plan: Plan, x: int) -> int:
    for each in plan.layers:
        x = layer(graph, each, _arrays(plan, each), x)
    return x


def _nodes(graph: FileGraph, plan: Plan, x: int) -> int:
    nodes, values = Nodes(graph, x), {0: x}
    readers = Counter(array for node in plan.graph.nodes for array in node.inputs)
    owners: dict[int, Node] = {}
    for node in plan.graph.nodes:
        owner = owners[node.parameters] if node.shared else node
        if node.operation.n_parameters:
            owners.setdefault(node.parameters, node)
        read_again = {values[array] for array in node.inputs if readers[array] > 1}
        inputs = [values[array] for array in node.inputs]
        values[node.output] = nodes.add(node, _arrays(plan, owner), inputs, read_again)
    return nodes.outputs(values[plan.graph.nodes[-1].output], plan.out_features)


def _arrays(plan: Plan, owner: Node | Layer) -> Arrays:
    """A node's or layer's parameters by the names of their tensors."""
    return {t.name: plan.parameters[t.offset : t.offset + t.size].reshape(t.shape) for t in owner.tensors}
