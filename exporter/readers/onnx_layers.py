# SPDX-License-Identifier: MIT
"""What ONNX's layers become: products, convolutions, pooling, norms, recurrent cells, and ttzo's own trains."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Cell
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.readers.onnx_arrays import weights_of
from ttzo.exporter.readers.rows import Refused, Rows, Weights, parameter
from ttzo.exporter.writers.onnx.onnx_nodes import layer_of, onnx

OPERATORS: dict[str, Callable[..., Any]] = {}


def operator(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


def _weight(graph: Any, call: Any, at: int) -> Weights:
    """A parameter of a layer; where a constant stands in its place, that is trained too."""
    value = call.inputs[at]
    if isinstance(value, Rows):
        raise Refused("takes weights that depend on the input", "give it constant ones")
    return value if isinstance(value, Weights) else parameter(call.node.input[at], np.asarray(value))


def _maybe(graph: Any, call: Any, at: int) -> Weights | None:
    return _weight(graph, call, at) if at < len(call.inputs) and call.inputs[at] is not None else None


def _times(weights: Weights, factor: float) -> Weights:
    if factor == 1:
        return weights
    return Weights(
        (weights.values * np.float32(factor)).astype(weights.values.dtype), weights.source, weights.index, True
    )


# ---- products -------------------------------------------------------------------------------------------------------


@operator("Gemm")
def gemm(graph: Any, call: Any) -> Rows:
    told = call.attributes
    x = call.inputs[0]
    if not isinstance(x, Rows) or told.get("transA") or len(call.inputs) > 2 and isinstance(call.inputs[2], Rows):
        raise Refused("is not a plain product of rows and a constant matrix", "use Gemm(rows, weight, bias)")
    weight = _weight(graph, call, 1)
    if len(weight.shape) != 2:
        raise Refused(f"multiplies by an array {list(weight.shape)}", "give it a matrix")
    weight = _times(graph.named(weight), told.get("alpha", 1.0))
    weight = weight if told.get("transB") else weight.moved(np.transpose)
    bias = _maybe(graph, call, 2)
    if bias is not None:
        bias = _bias(_times(bias, told.get("beta", 1.0)), weight.shape[0])
    return graph.rows.linear(call.name, x, weight, bias)


def _bias(bias: Weights, n_out: int) -> Weights:
    """One number for each output; a single one for all is repeated, and trained as so many."""
    if bias.values.size not in (1, n_out) or bias.shape[-1:] not in ((), (bias.values.size,)):
        raise Refused(f"adds {list(bias.shape)} numbers to {n_out} outputs", "add one for each output")
    if bias.values.size == n_out:
        return bias.moved(lambda a: a.reshape(-1))
    return parameter(f"{bias.source}.repeated", np.repeat(bias.values.reshape(-1), n_out))


@operator("MatMul")
def matmul(graph: Any, call: Any) -> Rows:
    a, b = call.inputs
    if isinstance(a, Rows) and isinstance(b, Rows):
        return graph.rows.matrix_product(call.name, a, b)
    if not isinstance(a, Rows):
        raise Refused("multiplies by rows from the right", "use MatMul(rows, weight)")
    weight = graph.named(_weight(graph, call, 1))
    if len(weight.shape) != 2:
        raise Refused(f"multiplies by an array {list(weight.shape)}", "give it a matrix")
    weight = weight.moved(np.transpose)
    after, bias = graph.only_reader(call.node.output[0]), None
    if after is not None and after.op_type == "Add":
        bias = _added(graph, after, weight.shape[0])
    made = graph.rows.linear(call.name, a, weight, bias)
    if bias is not None:
        graph.values[after.output[0]] = made
    return made


def _added(graph: Any, after: "onnx.NodeProto", n_out: int) -> Weights | None:
    """The bias that an Add brings to the product before it."""
    for name in after.input:
        value = graph.constant(name)
        if value is None or np.size(getattr(value, "values", value)) not in (1, n_out):
            continue
        weights = value if isinstance(value, Weights) else parameter(name, np.asarray(value))
        return _bias(weights, n_out) if weights.shape[-1:] in ((), (weights.values.size,)) else None
    return None


def train(graph: Any, call: Any) -> Rows:
    """A call of a function that to_onnx wrote: the name tells the geometry, the inputs are the cores and the bias."""
    names, tensors = call.node.input[1:], call.inputs[1:]
    place = call.node.input[1].removesuffix(".core0")
    place = place if place != call.node.input[1] else graph.free_layer()
    graph.layer_names[call.node.input[1]] = f"{place}.weight"
    try:
        layer = layer_of(call.node.op_type, place, 0)
    except (ValueError, IndexError, PlanError):
        layer = None
    shapes = [getattr(tensor, "shape", None) for tensor in tensors]
    wanted = [] if layer is None else [tensor.shape for tensor in layer.tensors]
    if layer is None or shapes != wanted or any(isinstance(tensor, Rows) for tensor in tensors):
        raise Refused("is not a tensor-train layer as ttzo writes them", "export the model again")
    x = graph.rows.reshaped(call.inputs[0], (-1, layer.in_features))
    made = [t if isinstance(t, Weights) else parameter(name, t) for name, t in zip(names, tensors, strict=True)]
    parts = {tensor.name.rsplit(".", 1)[1]: weights for tensor, weights in zip(layer.tensors, made, strict=True)}
    count = graph.rows.full_shape(x)[0]
    return graph.rows.layer(place, x, layer, (count, layer.out_features), parts)


@operator("Gather")
def gather(graph: Any, call: Any) -> Rows:
    data, indices = call.inputs
    axis = call.attributes.get("axis", 0)
    if not isinstance(data, Rows):
        table = _weight(graph, call, 0)
        if axis or len(table.shape) != 2:
            raise Refused("looks up other things than rows of a table", "use a table [tokens, features]")
        return graph.rows.embedding(call.name, indices, graph.named(table))
    if isinstance(indices, Rows) or np.ndim(indices) > 1:
        raise Refused("looks up places that the input decides", "use constant places")
    if np.ndim(indices) == 0:
        return graph.rows.selected(call.name, data, axis, int(indices))
    size = graph.rows.full_shape(data)[axis]
    places = [int(index) % size for index in indices]
    step = places[1] - places[0] if len(places) > 1 else 1
    if step < 1 or places != list(range(places[0], places[0] + step * len(places), step)):
        raise Refused("takes entries out of their order", "take every n-th entry")
    return graph.rows.sliced(call.name, data, axis, places[0], len(places), step)


# ---- convolutions and pooling ---------------------------------------------------------------------------------------


def _padding(
    call: Any, x: Rows, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    """Of each axis before, then of each axis after."""
    automatic = call.attributes.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        return (
            tuple(call.attributes.get("pads") or (0,) * 2 * len(kernel))
            if automatic == "NOTSET"
            else (0,) * 2 * len(kernel)
        )
    sizes = x.shape[-len(kernel) :]
    steps = zip(sizes, kernel, stride, dilation, strict=True)
    missing = [max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n) for n, k, s, d in steps]
    less, more = [each // 2 for each in missing], [each - each // 2 for each in missing]
    return (*less, *more) if automatic == "SAME_UPPER" else (*more, *less)


@operator("Conv")
def conv(graph: Any, call: Any) -> Rows:
    x, weight = call.inputs[0], graph.named(_weight(graph, call, 1))
    one = [1] * (len(weight.shape) - 2)
    stride, dilation = call.attributes.get("strides", one), call.attributes.get("dilations", one)
    padding = _padding(call, x, weight.shape[2:], stride, dilation)
    return graph.rows.convolution(
        call.name, x, weight, _maybe(graph, call, 2), stride=stride, padding=padding, dilation=dilation,
        groups=call.attributes.get("group", 1),
    )  # fmt: skip


@operator("MaxPool", "AveragePool")
def pool(graph: Any, call: Any) -> Rows:
    x, kernel = call.inputs[0], call.attributes["kernel_shape"]
    one = [1] * len(kernel)
    stride, dilation = call.attributes.get("strides", one), call.attributes.get("dilations", one)
    if any(step != 1 for step in dilation):
        raise Refused("pools with dilation", "leave it out")
    return graph.rows.pool(
        call.name, x, "max" if call.node.op_type == "MaxPool" else "average", kernel=tuple(kernel), stride=tuple(stride),
        padding=_padding(call, x, kernel, stride, dilation), ceil=bool(call.attributes.get("ceil_mode", 0)),
        count_padding=bool(call.attributes.get("count_include_pad", 0)),
    )  # fmt: skip


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(graph: Any, call: Any) -> Rows:
    x = call.inputs[0]
    kind = "max" if call.node.op_type == "GlobalMaxPool" else "average"
    return graph.rows.reduced(call.name, x, kind, range(2, len(x.shape)), keep=True)


# ---- norms ----------------------------------------------------------------------------------------------------------


@operator("BatchNormalization")
def batch_norm(graph: Any, call: Any) -> Rows:
    if call.attributes.get("training_mode", 0) or call.attributes.get("is_test", 1) == 0:
        raise Refused("normalises by the batch at hand", "export the model for inference")
    weight, bias, mean, variance = (weights_of(value).values for value in call.inputs[1:5])
    graph.note("batch norm is frozen as it is: a scale and a shift of each channel, which are not trained")
    return graph.rows.batch_norm(
        call.inputs[0], call.name, mean, variance, weight, bias, call.attributes.get("epsilon", 1e-5)
    )


@operator("Scaler")
def scaler(graph: Any, call: Any) -> Rows:
    """(x - offset) scale, as scikit-learn's scalers: frozen."""
    x, count = call.inputs[0], call.inputs[0].shape[-1]
    offset, scale = (np.asarray(call.attributes[name], np.float64) for name in ("offset", "scale"))
    parts = [np.broadcast_to(part, count).astype(np.float32) for part in (scale, -offset * scale)]
    graph.note("what scales the inputs before the first layer is frozen as it is")
    name = graph.rows.free_name(call.name)
    value = graph.rows.build.scale(name, graph.rows.plain(x), *parts, axis=graph.rows.along(x, -1), frozen=True)
    return Rows(value, x.axis, x.outer)


@operator("LayerNormalization", "RMSNormalization")
def norm(graph: Any, call: Any) -> Rows:
    x, axis = call.inputs[0], call.attributes.get("axis", -1)
    axes, kind = len(x.shape) - axis % len(x.shape), "layer" if call.node.op_type[0] == "L" else "rms"
    epsilon = call.attributes.get("epsilon", 1e-5)
    return graph.rows.norm(kind, call.name, x, axes, _maybe(graph, call, 1), _maybe(graph, call, 2), epsilon)


# ---- recurrent cells ------------------------------------------------------------------------------------------------

CELLS = {
    "RNN": (Cell.tanh, (0,)),
    "GRU": (Cell.gru, (1, 0, 2)),
    "LSTM": (Cell.lstm, (0, 2, 3, 1)),
}  # torch's order of gates
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


@operator("RNN", "GRU", "LSTM")
def recurrent(graph: Any, call: Any) -> tuple[Any, ...]:
    kind, x, told = call.node.op_type, call.inputs[0], call.attributes
    _refuse_unusual_cell(call)
    if not isinstance(x, Rows):
        raise Refused("has weights that depend on the input", "give it constant weights")
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[
        told.get("direction", "forward")
    ]
    if x.axis not in (None, 1) or x.shape[1] != 1:
        raise Refused(f"takes an array {list(graph.rows.full_shape(x))}", "steps, rows and features are wanted")
    y, y_h = (*call.node.output, "", "")[:2]
    last = not graph.readers.get(y) and y not in [output.name for output in graph.graph.output]
    name = graph.free_layer()
    graph.layer_names[call.node.input[1]] = f"{name}.weight"
    made, ends = [], []
    for at, reverse in enumerate(directions):
        parts = _cell_parts(graph, call, at)
        inner = name + (".reverse" if len(directions) > 1 and reverse else "")
        value = graph.rows.recurrent(inner, x, CELLS[kind][0], parts, reverse=reverse, last=last)
        made.append(value)
        if not last:
            end = 0 if reverse else value.shape[0] - 1
            value = graph.rows.build.slice(graph.rows.inner_name(f"{inner}.last"), value, 0, end, 1)
        ends.append(graph.rows.build.reshaped(value, (1, value.shape[-1])))
    build, hidden = graph.rows.build, ends[0].shape[-1]
    joined = ends[0] if len(ends) == 1 else build.concat(graph.rows.inner_name(f"{name}.ends"), ends, 0)
    h = graph.rows.row_of(joined, 1)
    if last:
        return None, h
    steps = made[0] if len(made) == 1 else build.concat(graph.rows.inner_name(f"{name}.joined"), made, 1)
    return graph.rows.row_of(build.reshaped(steps, (steps.shape[0], len(made), hidden)), 2), h


def _refuse_unusual_cell(call: Any) -> None:
    kind, told = call.node.op_type, call.attributes
    functions = [f.decode() if isinstance(f, bytes) else f for f in told.get("activations", [])]
    unusual = functions and functions != USUAL[kind] * (len(functions) // len(USUAL[kind]))
    if unusual or told.get("clip") or told.get("layout") or told.get("input_forget"):
        raise Refused("has other activations, a clip or another layout", "use the cell as ONNX defines it by default")
    if kind == "GRU" and not told.get("linear_before_reset"):
        raise Refused("resets before it multiplies", "use reset_after=True in Keras; PyTorch's GRU is so")
    starts = call.inputs[5:8]
    lengths = call.inputs[4] if len(call.inputs) > 4 else None
    zero = all(value is None or not isinstance(value, Rows) and not weights_of(value).values.any() for value in starts)
    if not zero or lengths is not None and (isinstance(lengths, Rows) or np.any(lengths != call.inputs[0].shape[0])):
        raise Refused(
            "starts elsewhere than at zero, or has lengths of its own", "leave initial states and lengths out"
        )


def _cell_parts(graph: Any, call: Any, direction: int) -> dict[str, Weights]:
    order = list(CELLS[call.node.op_type][1])

    def gates(array: np.ndarray) -> np.ndarray:
        size = array.shape[0] // len(order)
        return array.reshape(len(order), size, -1)[order].reshape(array.shape)

    w, r, b = _weight(graph, call, 1), _weight(graph, call, 2), _maybe(graph, call, 3)
    made = {"weight_ih": w.moved(lambda a: gates(a[direction])), "weight_hh": r.moved(lambda a: gates(a[direction]))}
    if b is not None:
        half = b.shape[1] // 2
        made["bias_ih"] = b.moved(lambda a: gates(a[direction][:half]))
        made["bias_hh"] = b.moved(lambda a: gates(a[direction][half:]))
    return made
