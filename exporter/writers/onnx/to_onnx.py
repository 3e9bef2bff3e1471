# SPDX-License-Identifier: MIT
"""A plan as ONNX graphs.

`forward_graph`: `x` float32 [batch, in_features] -> `outputs` [batch, out_features]; parameters are initialisers. Where the
model normalises, its input is `readings`, a sensor's numbers as they stood in the training table.
`loss_graph`: the same with every parameter tensor as a graph input, so that any ONNX runtime can evaluate the loss at
any parameters: inputs are the tensors by name, `x`, and `y` (int64 classes [batch], of sequences [batch, places], or
float32 targets [batch, out_features]); outputs are `losses` [batch], `loss` (their mean) and `outputs`.

`x` is the network's input: the raw number times `input_scale` plus `input_offset`. Convolutions and embeddings: see
onnx/gathered_affine; tensor-train layers: see onnx/onnx_nodes.
"""

from ttzo.device_runtime.contract import Activation, LayerKind
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx.gathered_affine import gathered_affine
from ttzo.exporter.writers.onnx.graph import frozen_tensors, network
from ttzo.exporter.writers.onnx.loss import loss_nodes, loss_target
from ttzo.exporter.writers.onnx.onnx_nodes import (
    DOMAIN,
    OPERATORS,
    NodeProto,
    TensorProto,
    function_name,
    helper,
    model_around,
    numpy_helper,
    onnx,
)
from ttzo.exporter.writers.onnx.pde_to_onnx import residual_graph


def forward_graph(plan: Plan) -> onnx.ModelProto:
    """The network with its parameters inside."""
    nodes, first = _network(plan), "x"
    initialisers = [
        numpy_helper.from_array(
            plan.parameters[tensor.offset : tensor.offset + tensor.size].reshape(tensor.shape), tensor.name
        )
        for tensor in plan.tensors
    ]
    initialisers += frozen_tensors(plan)
    if plan.normalisation:
        found, first = plan.normalisation.of_inputs(plan.in_features), "readings"
        steps = (("centre", "Sub", found.centre), ("rest", "Sub", found.rest), ("factor", "Mul", found.factor))
        initialisers += [numpy_helper.from_array(numbers, f"readings.{name}") for name, _, numbers in steps]
        values = ["readings", "readings.centred", "readings.exact", "x"]
        nodes = [
            helper.make_node(kind, [value, f"readings.{name}"], [after], f"readings.{kind}.{name}")
            for (name, kind, _), value, after in zip(steps, values, values[1:], strict=False)
        ] + nodes
    graph = helper.make_graph(nodes, "forward", [_rows(first, plan.in_features)], [_outputs(plan)], initialisers)
    return model_around(plan, graph)


def loss_graph(plan: Plan) -> onnx.ModelProto:
    """The loss as a function of parameters, inputs and targets; with a PDE, see pde_to_onnx."""
    if plan.pde is not None:
        return residual_graph(plan)
    parameters = [
        helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.shape) for tensor in plan.tensors
    ]
    target, nodes = loss_target(plan), loss_nodes(plan)
    mean = helper.make_node("ReduceMean", ["losses"], ["loss"], axes=[0], keepdims=0)
    told = [
        helper.make_tensor_value_info("losses", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("loss", TensorProto.FLOAT, []),
        _outputs(plan),
    ]
    graph = helper.make_graph(
        [*_network(plan), *nodes, mean],
        "loss",
        [*parameters, _rows("x", plan.in_features), target],
        told,
        frozen_tensors(plan),
    )
    return model_around(plan, graph)


def _rows(name: str, features: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", features])


def _outputs(plan: Plan) -> onnx.ValueInfoProto:
    return _rows("outputs", plan.out_features)


# ---- the network ----------------------------------------------------------------------------------------------------


def _network(plan: Plan) -> list[NodeProto]:
    """The nodes from `x` to `outputs`."""
    if plan.chain is None:
        return network(plan)
    nodes, value = [], "x"
    for layer in plan.layers:
        last = layer is plan.layers[-1]
        end = "outputs" if last else f"{layer.name}.out"
        affine = end if layer.activation == Activation.identity else f"{layer.name}.affine"
        nodes += _nodes(layer, value, affine)
        if affine != end:
            nodes.append(helper.make_node(OPERATORS[layer.activation], [affine], [end], f"{layer.name}.activation"))
        value = end
    return nodes


def _nodes(layer: Layer, value: str, out: str) -> list[NodeProto]:
    """The affine map, applied wherever the layer is."""
    if layer.gather is None:
        return [_affine(layer, value, out)]
    return gathered_affine(layer, value, out, _affine)


def _affine(layer: Layer, value: str, out: str) -> NodeProto:
    inputs = [value, *(tensor.name for tensor in layer.tensors)]
    if layer.kind == LayerKind.dense:
        return helper.make_node("Gemm", inputs, [out], layer.name, transB=1)
    return helper.make_node(function_name(layer), inputs, [out], layer.name, domain=DOMAIN)
