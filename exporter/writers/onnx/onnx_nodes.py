# SPDX-License-Identifier: MIT
"""What every ONNX file of ttzo is built of, and the one place that imports onnx: the model around a graph, and a
tensor-train layer as a local function of the domain `ttzo`.

There is one function for each geometry, in plain Reshape, Transpose and MatMul. It multiplies in the plan's order
(`Layer.contractions`). A file's metadata properties hold `input_scale` and `input_offset`.
"""

import dataclasses
import math

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, TtzoError
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.to_bundle import model_hash

try:
    import onnx
    from onnx import NodeProto, TensorProto, helper, inliner, numpy_helper  # noqa: F401 (the modules that build on this one)
except ImportError as missing:
    raise TtzoError("this needs onnx, which is not installed", "pip install ttzo") from missing

OPSET = 17
IR_VERSION = 8  # the first with local functions; onnxruntime 1.18 reads up to 10
PRODUCER = DOMAIN = "ttzo"
FUNCTIONS = {LayerKind.tt_matrix: "TTMatrix", LayerKind.tt_tensor: "TTTensor"}
OPERATORS = {Activation.relu: "Relu", Activation.tanh: "Tanh", Activation.sine: "Sin"}

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
            **_loss_options(plan),
            "model_hash": model_hash(plan).hex(),
        },
    )
    return model


def _loss_options(plan: Plan) -> dict[str, str]:
    """What differs from the defaults."""
    given, default = dataclasses.asdict(plan.loss_options), dataclasses.asdict(LossOptions())
    texts = {name: value for name, value in given.items() if value != default[name]}
    if "class_weights" in texts:
        texts["class_weights"] = ",".join(map(repr, given["class_weights"]))
    return {name: str(value) for name, value in texts.items()}


# ---- a tensor-train layer as a local function -----------------------------------------------------------------------


def function_name(layer: Layer) -> str:
    """Gives the geometry, so that equal layers share one function: TTMatrix_7x4x4x7_8x4x4x8_r6x6x6_bias."""
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
        raise ValueError(f"{called} is not a kind of layer")
    sizes = [tuple(map(int, modes.split("x"))) for modes in (in_modes, out_modes)]
    ranks = tuple(map(int, rest[0].removeprefix("r").split("x"))) if rest and rest[0] != "bias" else ()
    return Layer(
        name,
        kinds[called],
        math.prod(sizes[0]),
        math.prod(sizes[1]),
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
