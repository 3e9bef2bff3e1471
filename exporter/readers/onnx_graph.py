# SPDX-License-Identifier: MIT
"""An ONNX graph as a plan's graph: values, constants, names and heads. Operators stand in onnx_arrays.py and onnx_layers.py."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.readers import onnx_arrays, onnx_layers, onnx_patterns  # noqa: F401 (patterns register themselves)
from ttzo.exporter.readers.errors import OnnxError
from ttzo.exporter.readers.onnx_arrays import attributes
from ttzo.exporter.readers.onnx_codes import take_codes_as_they_are
from ttzo.exporter.readers.onnx_heads import Heads
from ttzo.exporter.readers.row_layers import RowBuilder
from ttzo.exporter.readers.rows import Refused, Rows, Weights, parameter
from ttzo.exporter.writers.onnx.onnx_nodes import DOMAIN, onnx

BATCH = 251  # rows of a file that takes any number of them: a prime, so that an axis which it divides holds the rows
MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Expand", "Tile", "Gather")
SUPPORTED = (
    "linear and convolution layers, pooling, norms, recurrent cells, the common activations, sums and products in float32 "
    "can be exported"
)
OPERATORS: dict[str, Callable[..., Any]] = onnx_arrays.OPERATORS | onnx_layers.OPERATORS
TWO_CLASSES = np.array([[0], [1]], np.float32)


@dataclass(frozen=True)
class Call:
    """One node, with its attributes as Python values."""

    node: "onnx.NodeProto"
    opset: int
    attributes: dict[str, Any]
    inputs: tuple[Any, ...]  # Rows, Weights, arrays, or None

    @property
    def name(self) -> str:
        return self.node.name or self.node.output[0]

    def given(self, name: str, position: int, default: Any = None) -> Any:
        """An attribute, or, as newer opsets have it, a constant input."""
        if name in self.attributes:
            return self.attributes[name]
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            return default
        if isinstance(value, Rows):
            raise Refused(f"takes {name} that the input decides", "make them constant")
        return held_values(value).tolist()


def held_values(value: Any) -> np.ndarray:
    return value.values if isinstance(value, Weights) else np.asarray(value)


class OnnxGraph:
    """The nodes of a sound model on a `RowBuilder`. Raises `OnnxError`."""

    def __init__(
        self,
        model: "onnx.ModelProto",
        shape: Sequence[int] | None,
        loss: Loss,
        of_data: Sequence[int] | None = None,
    ):
        self.graph = model.graph
        self.opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
        self.imports = list(model.opset_import)
        self.values: dict[str, Any] = {"": None}
        self.notes: list[str] = []
        for tensor in self.graph.initializer:
            self.values[tensor.name] = self._initializer(tensor)
        entry = self._input()
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        batch, row = self._row(entry, shape, of_data)
        take_codes_as_they_are(self, entry)
        self.rows = RowBuilder(row, batch, copies=True)
        self.shape = row
        self.values[entry.name] = self.rows.input
        self.layer_names: dict[str, str] = {}
        self.loss = loss
        self.axes: tuple[int, ...] = ()  # of the output
        self._read(Heads(self.graph, loss))

    def _read(self, heads: Heads) -> None:
        wanted, two_classes = heads.scores()
        self.notes += heads.notes
        needed = _needed(self.graph, wanted)
        for node in self.graph.node:
            is_done = any(name in self.values for name in node.output if name)  # an output without a name is not wanted
            if any(name in needed for name in node.output) and not is_done:
                self._take(node)
        if wanted not in self.values:
            raise OnnxError(f"no layer leads to {wanted}", SUPPORTED)
        value = self.values[wanted]
        if isinstance(value, Rows) and two_classes:
            value = self.rows.linear("two_classes", value, Weights(TWO_CLASSES))
        self.output = self._output(wanted, value)
        self.notes += self.rows.notes

    # ---- inputs and outputs

    def _initializer(self, tensor: "onnx.TensorProto") -> Any:
        values = onnx.numpy_helper.to_array(tensor)
        is_weight = values.dtype.kind == "f" and values.size > 1
        return parameter(tensor.name, np.ascontiguousarray(values)) if is_weight else values

    def _input(self) -> "onnx.ValueInfoProto":
        inputs = [value for value in self.graph.input if value.name not in self.values]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs) or "none"
            raise OnnxError(f"the model has {len(inputs)} inputs ({names})", "export it with one, the rows")
        return inputs[0]

    def _row(
        self, entry: "onnx.ValueInfoProto", shape: Sequence[int] | None, of_data: Sequence[int] | None
    ) -> tuple[int, tuple[int, ...]]:
        """Rows of the batch, and the shape of one: as given, or as the data's rows have it where the file leaves axes open."""
        if entry.type.WhichOneof("value") != "tensor_type" or not entry.type.tensor_type.HasField("shape"):
            raise OnnxError(f"input {entry.name} has no shape", "export the model with the shape of its input")
        axes = entry.type.tensor_type.shape.dim
        if not axes:
            raise OnnxError(f"input {entry.name} is a single number", "let its first axis count the rows")
        if len(axes) == 1:
            raise OnnxError(f"input {entry.name} has one axis, which counts the rows", "give a row an axis of its own")
        row = [axis.dim_value if axis.HasField("dim_value") else None for axis in axes[1:]]
        if shape is None and of_data and None in row and len(of_data) == len(row) > 1:
            shape = of_data
        if shape is not None:
            fits = len(shape) == len(row) and all(mine in (None, one) for mine, one in zip(row, shape, strict=True))
            if not fits:
                raise OnnxError(f"a row of {entry.name} is {row}, input_shape is {list(shape)}", "give what fits")
            row = list(shape)
        elif row == [None]:
            row = [self._features(entry.name)]
        sizes = [size for size in row if size and size >= 1]
        if not row or len(sizes) < len(row):
            hint = "give the sizes of one row: --input-shape 1,28,28"
            raise OnnxError(f"a row of {entry.name} has axes of unknown length: {row}", hint)
        batch = axes[0].dim_value if axes[0].HasField("dim_value") and axes[0].dim_value > 0 else BATCH
        return batch, tuple(sizes)

    def _features(self, name: str) -> int | None:
        """What the first product takes, where nothing else says how long a row is."""
        for node in self.readers.get(name, ()):
            weight = self.values.get(node.input[1]) if len(node.input) > 1 else None
            if node.op_type in ("Gemm", "MatMul") and isinstance(weight, Weights) and len(weight.shape) == 2:
                return weight.shape[1 if attributes(node).get("transB") else 0]
        return None

    def _output(self, name: str, value: Any) -> Rows:
        if not isinstance(value, Rows):
            raise OnnxError(f"output {name} does not depend on the input", "export the model's scores")
        if value.axis is not None and (value.axis != 0 or value.outer != 1 or value.shape[0] != 1):
            raise OnnxError(
                f"output {name} does not hold one row for each row of the input", "keep the first axis for rows"
            )
        self.axes = tuple(size for axis, size in enumerate(self.rows.full_shape(value)) if axis)
        has_places = self.loss == Loss.place_cross_entropy and len(self.axes) == 2
        if sum(size != 1 for size in value.shape) > 1 and not has_places:
            raise OnnxError(
                f"output {name} is an array {list(value.shape)}",
                "put Flatten at its end; or, where it holds the scores of a class for each place, [places, classes], "
                "export with --loss place_cross_entropy",
            )
        try:
            return self.rows.reshaped(value, (self.rows.batch, math.prod(value.shape)))
        except Refused as error:
            raise OnnxError(f"output {name} {error}", error.hint) from error

    # ---- nodes

    def _take(self, node: "onnx.NodeProto") -> None:
        unknown = [name for name in node.input if name not in self.values]
        if unknown:
            raise OnnxError(f"node {node.name or node.output[0]}: nothing gives {unknown[0]}", "export the model again")
        call = Call(node, self.opset, attributes(node), tuple(self.values[name] for name in node.input))
        try:
            made = self._made(call)
        except Refused as error:
            raise OnnxError(f"node {call.name}: {node.op_type} {error}", error.hint) from error
        except PlanError:
            raise
        except (IndexError, KeyError, ValueError, TypeError, ZeroDivisionError, AttributeError) as error:
            raise OnnxError(
                f"node {call.name}: {node.op_type} is not as ONNX defines it", "export the model again"
            ) from error
        made = made if isinstance(made, tuple | list) else (made,)
        self.values.update(zip(node.output, made, strict=False))

    def _made(self, call: Call) -> Any:
        node = call.node
        if node.domain == DOMAIN:
            return onnx_layers.train(self, call)
        if node.op_type == "Shape" and isinstance(call.inputs[0], Rows):
            sizes = np.array(self.rows.full_shape(call.inputs[0]), np.int64)
            return sizes[call.attributes.get("start", 0) : call.attributes.get("end")]
        if not any(isinstance(value, Rows) for value in call.inputs):
            return self._folded(call)
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml") or node.op_type not in OPERATORS:
            hint = "export the logits: the loss holds the softmax" if "Softmax" in node.op_type else SUPPORTED
            raise Refused("cannot be exported", hint)
        return OPERATORS[node.op_type](self, call)

    def _folded(self, call: Call) -> Any:
        """What a node makes of constants alone; of parameters that it only moves, the same parameters in other places."""
        trained = [value for value in call.inputs if isinstance(value, Weights) and value.trained]
        made = self.evaluated(call.node, [None if v is None else held_values(v) for v in call.inputs])
        if not trained:
            return made
        if call.node.op_type == "Identity":  # exporters make one array of parameters that begin equal
            return parameter(call.node.output[0], trained[0].values)
        if call.node.op_type in MOVES and call.inputs[0] is trained[0] and len(trained) == 1:
            first = trained[0]
            moved = self.evaluated(
                call.node, [first.index, *(None if v is None else held_values(v) for v in call.inputs[1:])]
            )
            return [
                Weights(np.ascontiguousarray(v), first.source, np.asarray(i), True)
                for v, i in zip(made, moved, strict=True)
            ]
        return [self._repeated(parameter(out, value)) for out, value in zip(call.node.output, made, strict=True)]

    def _repeated(self, weights: Weights) -> Weights:
        """The same where an axis repeats numbers for each row of the batch."""
        index = weights.places
        for axis, size in enumerate(weights.shape if self.rows.batch > 1 else ()):
            if size == self.rows.batch and (weights.values == weights.values.take([0], axis)).all():
                index = np.broadcast_to(index.take([0], axis), index.shape)
        return Weights(weights.values, weights.source, index, weights.trained)

    def evaluated(self, node: "onnx.NodeProto", values: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """By onnx's own reference implementation."""
        from onnx.reference import ReferenceEvaluator

        if node.op_type in ("Loop", "Scan", "If"):
            raise Refused("runs a graph of its own", "export it without loops: of Keras, cells with unroll=True")
        given = {name: value for name, value in zip(node.input, values, strict=True) if name}
        inputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in given]
        outputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output]
        graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
        model = onnx.helper.make_model(graph, opset_imports=self.imports)
        try:
            return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, given)]
        except Exception as error:  # whatever an operator raises
            raise Refused("is no sound constant", "export the model again") from error

    # ---- what operators ask

    def only_reader(self, name: str) -> "onnx.NodeProto | None":
        """The one node that reads a value, beyond nodes that hand it on."""
        readers = self.readers.get(name, [])
        if len(readers) != 1 or name in [output.name for output in self.graph.output]:
            return None
        return self.only_reader(readers[0].output[0]) if readers[0].op_type == "Identity" else readers[0]

    def constant(self, name: str) -> Any:
        """A constant by its name, or None; constants of nodes that come later are not known yet."""
        value = self.values.get(name)
        if value is None:
            maker = self.makers.get(name)
            if maker is None or maker.op_type != "Constant":
                return None
            self._take(maker)
            value = self.values[name]
        return None if isinstance(value, Rows) else value

    def number(self, name: str) -> float | None:
        """A constant of a single number."""
        value = self.constant(name)
        value = None if value is None else held_values(value)
        return float(value.reshape(())) if value is not None and value.size == 1 else None

    def free_layer(self) -> str:
        """The name of a layer whose weight does not name it."""
        count, taken = len(self.layer_names), {*self.values, *self.layer_names.values()}
        while f"layer{count}.weight" in taken:
            count += 1
        return f"layer{count}"

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def named(self, weight: Weights) -> Weights:
        """A layer's weight under a name that ends in .weight: its own, or that of the n-th layer."""
        source = weight.source
        if source not in self.layer_names:
            own = source.endswith(".weight") and source != ".weight"
            self.layer_names[source] = source if own else f"{self.free_layer()}.weight"
        name = self.layer_names[source]
        return Weights(weight.values, name, weight.index, weight.trained)


def _needed(graph: "onnx.GraphProto", output: str) -> set[str]:
    """Names of all values that lead to an output."""
    wanted = {output}
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
    return wanted
