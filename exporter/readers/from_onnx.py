# SPDX-License-Identifier: MIT
"""A plain ONNX chain as a plan: Gemm, or MatMul and Add; tensor-train layers as to_onnx writes them; Relu, Tanh, Sin; and
what only regroups a row. Needs no torch."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, Loss, TtzoError
from ttzo.exporter.plan.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx_nodes import DOMAIN, OPERATORS, PRODUCER, layer_of, onnx

SUPPORTED = (
    "a chain of Gemm (or MatMul and Add), Relu, Tanh, Sin, Flatten, Reshape and Identity in float32 can be exported"
)
MOST_BYTES = 256 << 20  # of a file that is read
ACTIVATIONS = {operator: activation for activation, operator in OPERATORS.items()}
PASSING = ("Identity", "Dropout", "Flatten", "Reshape")


class OnnxError(TtzoError):
    """An ONNX file that cannot be exported; the sentence names the node."""


def plan_from_file(path: Path, **settings: Any) -> Plan:
    """The plan of the network in an ONNX file, with the other fields of `Plan` as `settings`.

    Rows are the graph's first axis. A layer is called as its weight is ("fc1" of "fc1.weight"), or "layer0", "layer1", ..
    Raises `OnnxError` for a file that is damaged or holds more than such a chain, `PlanError` for a plan that no device
    could run.
    """
    graph, constants = _parts(path, _read(path))
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise OnnxError(
            f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs", "the model must have one of each"
        )
    chain = _Chain(constants, inputs[0].name)
    for node in graph.node:
        chain.take(node)
    if chain.value != graph.output[0].name or not chain.layers:
        raise OnnxError(f"{path}: no layer leads from {inputs[0].name} to {graph.output[0].name}", SUPPORTED)
    _require_rows(path, inputs[0], chain.layers[0])
    return Plan.of_layers(chain.layers, np.concatenate(chain.arrays, axis=None), **settings)


def options_in_file(path: Path) -> dict[str, Any]:
    """What to_onnx wrote into a file's properties about inputs and loss, as options of an export; of a file that another
    program wrote, none. That a network solved an equation is no option: the equation is not in the file. Raises
    `OnnxError`."""
    model = _read(path)
    properties = {each.key: each.value for each in model.metadata_props} if model.producer_name == PRODUCER else {}
    with _sound(path):
        numbers = {name: float(properties[name]) for name in ("input_scale", "input_offset") if name in properties}
    names = {name: properties[name] for name in ("input_number", "loss") if name in properties}
    return {name: value for name, value in names.items() if value != Loss.residual.name} | numbers


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Whatever onnx and protobuf raise about a file means that it is damaged."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OnnxError(f"{path} is not a valid ONNX model ({reason})", "export it again") from error


def _read(path: Path) -> "onnx.ModelProto":
    if not path.is_file():
        raise OnnxError(f"there is no file {path}", "check the path")
    if path.stat().st_size > MOST_BYTES:
        raise OnnxError(f"{path} has more than {MOST_BYTES:,} bytes", "a device holds up to 1,048,576 parameters")
    with _sound(path):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    return model


def _parts(path: Path, model: "onnx.ModelProto") -> tuple["onnx.GraphProto", dict[str, np.ndarray]]:
    """The graph and its constants."""
    with _sound(path):
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        constants |= {node.output[0]: _constant(node) for node in model.graph.node if _is_constant(node)}
    return model.graph, constants


def _is_constant(node: "onnx.NodeProto") -> bool:
    return node.op_type == "Constant" and not node.domain


def _constant(node: "onnx.NodeProto") -> np.ndarray:
    (value,) = _attributes(node).values()
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)


def _require_rows(path: Path, value: "onnx.ValueInfoProto", first: Layer) -> None:
    """A row of the input must be what the first layer takes; an axis of unknown length may be anything."""
    axes = value.type.tensor_type.shape.dim[1:]
    size = math.prod(axis.dim_value for axis in axes)
    if axes and all(axis.HasField("dim_value") for axis in axes) and size != first.in_features:
        raise OnnxError(
            f"{path}: a row of {value.name} has {size} numbers, layer {first.name} takes {first.in_features}",
            "let the first axis count the rows",
        )


class _Chain:
    """The layers so far, and the name of the value that the next node must take."""

    def __init__(self, constants: dict[str, np.ndarray], value: str):
        self.constants, self.value = constants, value
        self.layers: list[Layer] = []
        self.arrays: list[np.ndarray] = []
        self._before = ""  # operator of the node before

    def take(self, node: "onnx.NodeProto") -> None:
        if _is_constant(node):
            return
        train = node.domain == DOMAIN
        if not train and (node.domain or node.op_type not in ("Gemm", "MatMul", "Add", *ACTIVATIONS, *PASSING)):
            hint = "export the logits: the loss holds the softmax" if "Softmax" in node.op_type else SUPPORTED
            raise self._refusal(node, "cannot be exported", hint)
        if [name for name in node.input if name and name not in self.constants] != [self.value]:
            raise self._refusal(node, "does not have the output of the node before it as its only input")
        if train:
            self._train(node)
        elif node.op_type in ("Gemm", "MatMul"):
            self._affine(node)
        elif node.op_type == "Add":
            self._bias(node, self._other(node))
        elif node.op_type in ACTIVATIONS:
            self._activation(node, ACTIVATIONS[node.op_type])
        else:
            self._pass(node)
        if node.op_type not in PASSING:
            self._before = node.op_type
        self.value = node.output[0]

    def _affine(self, node: "onnx.NodeProto") -> None:
        attributes = _attributes(node)
        weight = self.constants.get(node.input[1])
        if (
            weight is None
            or weight.ndim != 2
            or attributes.get("transA")
            or (attributes.get("alpha", 1), attributes.get("beta", 1)) != (1, 1)
        ):
            raise self._refusal(node, "is not a plain product of rows and a constant matrix")
        out_in = weight if attributes.get("transB") else weight.T
        name = self._name(node.input[1], ".weight")
        self.layers.append(Layer(name, LayerKind.dense, out_in.shape[1], out_in.shape[0], self._offset, has_bias=False))
        self.arrays.append(self._float32(node, out_in))
        if len(node.input) == 3 and node.input[2]:
            self._bias(node, self.constants[node.input[2]])

    def _train(self, node: "onnx.NodeProto") -> None:
        """A call of a function that to_onnx wrote: the name gives the geometry, the inputs are the cores and the bias."""
        names = node.input[1:]
        tensors = [self.constants[name] for name in names if name in self.constants]
        try:
            layer = layer_of(node.op_type, self._name(node.input[1], ".core0"), self._offset)
        except (ValueError, IndexError):
            layer = None
        if (
            layer is None
            or len(tensors) < len(names)
            or [tensor.shape for tensor in tensors] != [tensor.shape for tensor in layer.tensors]
        ):
            raise self._refusal(node, "is not a tensor-train layer as ttzo writes them")
        self.layers.append(layer)
        self.arrays += [self._float32(node, tensor).reshape(-1) for tensor in tensors]

    @property
    def _offset(self) -> int:
        """Of the next layer's parameters."""
        return sum(array.size for array in self.arrays)

    def _name(self, tensor: str, suffix: str) -> str:
        """The layer's, after its first tensor; one that is not taken."""
        name = tensor.removesuffix(suffix)
        taken = name == tensor or name in [layer.name for layer in self.layers]
        return f"layer{len(self.layers)}" if taken else name

    def _bias(self, node: "onnx.NodeProto", values: np.ndarray) -> None:
        if node.op_type == "Add" and self._before != "MatMul":
            raise self._refusal(node, "adds a constant, but no MatMul comes before it")
        layer = self.layers[-1]
        if values.size not in (1, layer.out_features) or values.shape[-1:] != (values.size,) * (values.ndim > 0):
            raise self._refusal(node, f"adds {list(values.shape)} numbers to {layer.out_features} outputs")
        self.layers[-1] = dataclasses.replace(layer, has_bias=True)
        self.arrays.append(self._float32(node, np.broadcast_to(values.reshape(-1), layer.out_features)))

    def _activation(self, node: "onnx.NodeProto", activation: Activation) -> None:
        if not self.layers or self.layers[-1].activation != Activation.identity:
            raise self._refusal(node, "follows no layer", "put it after a Gemm or MatMul")
        self.layers[-1] = dataclasses.replace(self.layers[-1], activation=activation)

    def _pass(self, node: "onnx.NodeProto") -> None:
        """A node that changes no number and leaves rows rows."""
        wrong = node.op_type == "Flatten" and _attributes(node).get("axis", 1) != 1
        if node.op_type == "Reshape":
            shape = self._other(node)
            wrong = shape.size != 2 or shape[0] > 1
        if node.op_type == "Dropout" and len(node.input) == 3 and node.input[2]:
            wrong = bool(self.constants[node.input[2]])
        if wrong:
            raise self._refusal(node, "does more than regroup the numbers of a row")

    def _other(self, node: "onnx.NodeProto") -> np.ndarray:
        """The constant among the two inputs."""
        return next(self.constants[name] for name in node.input if name in self.constants)

    def _float32(self, node: "onnx.NodeProto", values: np.ndarray) -> np.ndarray:
        if values.dtype != np.float32:
            raise self._refusal(node, f"has {values.dtype} parameters, but a device computes in float32")
        return np.ascontiguousarray(values)

    def _refusal(self, node: "onnx.NodeProto", what: str, hint: str = SUPPORTED) -> OnnxError:
        return OnnxError(f"node {node.name or node.output[0]}: {node.op_type} {what}", hint)


def _attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
