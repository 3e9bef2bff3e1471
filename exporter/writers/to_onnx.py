# SPDX-License-Identifier: MIT
"""A plan as ONNX graphs, and the one place that imports onnx.

`forward_graph`: `x` float32 [batch, in_features] -> `outputs` [batch, out_features]; parameters are initialisers.
`loss_graph`: the same with every parameter tensor as a graph input, so that any ONNX runtime can evaluate the loss at
any parameters: inputs are the tensors by name, `x`, and `y` (int64 classes [batch], or float32 targets
[batch, out_features]); outputs are `losses` [batch], `loss` (their mean) and `outputs`.

`x` is the network's input: the raw number times `input_scale` plus `input_offset`, both told in the model's metadata
properties. Convolutions and embeddings: see gather_to_onnx. A tensor-train layer is a local function of the domain
`ttzo`, one for each geometry, in plain Reshape, Transpose and MatMul. It multiplies in the plan's order (`Layer.contractions`).
"""

import math

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, Loss, TtzoError
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.plan.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.to_bundle import model_hash

try:
    import onnx
    from onnx import NodeProto, TensorProto, helper, numpy_helper
except ImportError as missing:
    raise TtzoError("this needs onnx, which is not installed", "pip install ttzo") from missing

OPSET = 17
IR_VERSION = 8  # the first with local functions; onnxruntime 1.18 reads up to 10
PRODUCER = DOMAIN = "ttzo"
FUNCTIONS = {LayerKind.tt_matrix: "TTMatrix", LayerKind.tt_tensor: "TTTensor"}
OPERATORS = {Activation.relu: "Relu", Activation.tanh: "Tanh", Activation.sine: "Sin"}


def forward_graph(plan: Plan) -> onnx.ModelProto:
    """The network with its parameters inside."""
    nodes = _network(plan)
    initialisers = [
        numpy_helper.from_array(
            plan.parameters[tensor.offset : tensor.offset + tensor.size].reshape(tensor.shape), tensor.name
        )
        for tensor in plan.tensors
    ]
    initialisers += _frozen_tensors(plan)
    graph = helper.make_graph(nodes, "forward", [_rows("x", plan.in_features)], [_outputs(plan)], initialisers)
    return model_around(plan, graph)


def loss_graph(plan: Plan) -> onnx.ModelProto:
    """The loss as a function of parameters, inputs and targets; with a PDE, see pde_to_onnx."""
    if plan.pde is not None:
        from ttzo.exporter.writers.pde_to_onnx import residual_graph  # it builds on this module

        return residual_graph(plan)
    parameters = [
        helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.shape) for tensor in plan.tensors
    ]
    if plan.loss == Loss.cross_entropy:
        target, nodes = helper.make_tensor_value_info("y", TensorProto.INT64, ["batch"]), _cross_entropy()
    else:
        target, nodes = _rows("y", plan.out_features), _mean_squared_error()
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
        _frozen_tensors(plan),
    )
    return model_around(plan, graph)


# ---- the model around a graph ---------------------------------------------------------------------------------------


def model_around(plan: Plan, graph: onnx.GraphProto, more_layers: dict[str, Layer] | None = None) -> onnx.ModelProto:
    """The graph as a model, with a function for each geometry of the plan's tensor-train layers and of `more_layers`."""
    affine = [node.operation.layer for node in plan.graph.nodes if isinstance(node.operation, Affine)]
    layers = {function_name(layer): layer for layer in affine if layer.kind != LayerKind.dense}
    functions = {name: _function(layer) for name, layer in (layers | (more_layers or {})).items()}
    imports = [helper.make_opsetid("", OPSET)] + ([helper.make_opsetid(DOMAIN, 1)] if functions else [])
    model = helper.make_model(
        graph,
        functions=list(functions.values()),
        opset_imports=imports,
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        doc_string="x = input number * input_scale + input_offset (metadata properties), then the network.",
    )
    helper.set_model_props(
        model,
        {
            "input_number": plan.input_number.name,
            "input_scale": repr(float(np.float32(plan.input_scale))),
            "input_offset": repr(float(np.float32(plan.input_offset))),
            "loss": plan.loss.name,
            "model_hash": model_hash(plan).hex(),
        },
    )
    return model


def _rows(name: str, features: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", features])


def _outputs(plan: Plan) -> onnx.ValueInfoProto:
    return _rows("outputs", plan.out_features)


# ---- the network ----------------------------------------------------------------------------------------------------


def _network(plan: Plan) -> list[NodeProto]:
    """The nodes from `x` to `outputs`."""
    if plan.chain is None:
        from ttzo.exporter.writers.onnx.graph import network  # it builds on this module

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


def _frozen_tensors(plan: Plan) -> list[TensorProto]:
    if plan.chain is not None:
        return []
    from ttzo.exporter.writers.onnx.graph import frozen_tensors  # it builds on this module

    return frozen_tensors(plan)


def _nodes(layer: Layer, value: str, out: str) -> list[NodeProto]:
    """The affine map, applied wherever the layer is."""
    if layer.gather is None:
        return [_affine(layer, value, out)]
    from ttzo.exporter.writers.gathered_to_onnx import gathered_affine  # it builds on this module

    return gathered_affine(layer, value, out, _affine)


def _affine(layer: Layer, value: str, out: str) -> NodeProto:
    inputs = [value, *(tensor.name for tensor in layer.tensors)]
    if layer.kind == LayerKind.dense:
        return helper.make_node("Gemm", inputs, [out], layer.name, transB=1)
    return helper.make_node(function_name(layer), inputs, [out], layer.name, domain=DOMAIN)


def _cross_entropy() -> list[NodeProto]:
    return [
        helper.make_node("LogSoftmax", ["outputs"], ["log_probabilities"], axis=1),
        helper.make_node("Constant", [], ["class_axis"], value_ints=[1]),
        helper.make_node("Unsqueeze", ["y", "class_axis"], ["class_column"]),
        helper.make_node("GatherElements", ["log_probabilities", "class_column"], ["picked"], axis=1),
        helper.make_node("Squeeze", ["picked", "class_axis"], ["picked_row"]),
        helper.make_node("Neg", ["picked_row"], ["losses"]),
    ]


def _mean_squared_error() -> list[NodeProto]:
    return [
        helper.make_node("Sub", ["outputs", "y"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["losses"], axes=[1], keepdims=0),
    ]


# ---- a tensor-train layer as a local function -----------------------------------------------------------------------


def function_name(layer: Layer) -> str:
    """Tells the geometry, so that equal layers share one function: TTMatrix_7x4x4x7_8x4x4x8_r6x6x6_bias."""
    parts = [FUNCTIONS[layer.kind]]
    ranks = layer.ranks[1:-1]
    parts += ["x".join(map(str, sizes)) for sizes in (layer.in_modes, layer.out_modes)]
    parts += ["r" + "x".join(map(str, ranks))] if ranks else []
    return "_".join(parts + (["bias"] if layer.has_bias else []))


def layer_of(function: str, name: str, parameter_offset: int) -> Layer:
    """The layer whose `function_name` it is, without an activation. Raises `ValueError` for another name, `PlanError`
    for a geometry that no device could run."""
    called, in_modes, out_modes, *rest = function.split("_")
    kinds = {name: kind for kind, name in FUNCTIONS.items()}
    if called not in kinds:
        raise ValueError(f"{called} is no kind of layer")
    sizes = [tuple(map(int, modes.split("x"))) for modes in (in_modes, out_modes)]
    ranks = tuple(map(int, rest[0].removeprefix("r").split("x"))) if rest and rest[0] != "bias" else ()
    return Layer(
        name,
        kinds[called],
        *map(math.prod, sizes),
        parameter_offset,
        has_bias=rest[-1:] == ["bias"],
        in_modes=sizes[0],
        out_modes=sizes[1],
        ranks=(1, *ranks, 1),
    )


def _function(layer: Layer) -> onnx.FunctionProto:
    """x [batch, in_features], the cores, the bias -> out [batch, out_features]."""
    body = _Body()
    state = _matrix_product(body, layer) if layer.kind == LayerKind.tt_matrix else _tensor_product(body, layer)
    product = body.reshape(state, (-1, layer.out_features), "product" if layer.has_bias else "out")
    if layer.has_bias:
        body.node("Add", [product, "bias"], "out")
    names = [tensor.name.rsplit(".", 1)[1] for tensor in layer.tensors]
    imports = [helper.make_opsetid("", OPSET)]
    doc = f"{layer.kind.name}: " + ", ".join(
        f"{name} {list(tensor.shape)}" for name, tensor in zip(names, layer.tensors, strict=True)
    )
    return helper.make_function(
        DOMAIN, function_name(layer), ["x", *names], ["out"], body.nodes, imports, doc_string=doc
    )


class _Body:
    """The nodes of one function, while it is being written."""

    def __init__(self):
        self.nodes: list[NodeProto] = []

    def node(self, operator: str, inputs: list[str], out: str, **attributes) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [out], **attributes))
        return out

    def reshape(self, value: str, shape: tuple[int, ...], out: str) -> str:
        self.node("Constant", [], f"{out}_shape", value_ints=list(shape))
        return self.node("Reshape", [value, f"{out}_shape"], out)


def _matrix_product(body: _Body, layer: Layer) -> str:
    # Right to left: core [r m, n r'] times state [batch, n_1..n_k-1, n r', m_k+1..].
    state = "x"
    for k, (repeats, rows, inner, columns) in zip(
        reversed(range(len(layer.core_shapes))), layer.contractions, strict=True
    ):
        core = body.reshape(f"core{k}", (rows, inner), f"core{k}_matrix")
        state = body.reshape(state, (-1, repeats, inner, columns), f"state{k}")
        state = body.node("MatMul", [core, state], f"contracted{k}")
    return state


def _tensor_product(body: _Body, layer: Layer) -> str:
    # Input modes: core' [r', r n] times state [batch, r n, n_k+1..]; output modes: state [batch, m_1..m_k-1, r] times
    # core [r, m r'].
    state = "x"
    for k, (_, rows, inner, columns) in enumerate(layer.contractions):
        if k < len(layer.in_modes):
            core = body.reshape(f"core{k}", (inner, rows), f"core{k}_matrix")
            core = body.node("Transpose", [core], f"core{k}_transposed", perm=[1, 0])
            state = body.reshape(state, (-1, inner, columns), f"state{k}")
            state = body.node("MatMul", [core, state], f"contracted{k}")
        else:
            core = body.reshape(f"core{k}", (inner, columns), f"core{k}_matrix")
            state = body.reshape(state, (-1, rows, inner), f"state{k}")
            state = body.node("MatMul", [state, core], f"contracted{k}")
    return state
