# SPDX-License-Identifier: MIT
"""What ONNX operators become that compute number by number, or only move numbers. Each takes the graph and its call."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.readers.rows import NEVER, Refused, Rows, Weights
from ttzo.exporter.writers.onnx.onnx_nodes import onnx

OPERATORS: dict[str, Callable[..., Any]] = {}


def operator(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


def attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    made = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in made.items()}


def held(value: Any) -> Rows | Weights:
    if isinstance(value, Rows | Weights):
        return value
    return Weights(np.asarray(value, np.float32))


# ---- sums and products ----------------------------------------------------------------------------------------------


@operator("Add")
def add(graph: Any, call: Any) -> Rows:
    a, b = call.inputs
    rows, other = (a, b) if isinstance(a, Rows) else (b, a)
    if not isinstance(other, Rows):
        values = other.values if isinstance(other, Weights) else np.asarray(other)
        mask = values <= NEVER
        if mask.any() and not values[~mask].any():
            return graph.rows.masked(rows, mask)
    return graph.rows.sum(call.name, _factor(graph, a), _factor(graph, b))


@operator("Sub")
def sub(graph: Any, call: Any) -> Rows:
    a, b = (value if isinstance(value, Rows) else frozen(value) for value in call.inputs)
    return graph.rows.sum(call.name, a, b, minus=True)


@operator("Mul")
def mul(graph: Any, call: Any) -> Rows:
    a, b = call.inputs
    scores, shown = (a, b) if isinstance(a, Rows) else (b, a)
    if isinstance(shown, np.ndarray) and _hides_again(graph, call, shown):
        return scores
    return graph.rows.product(call.name, *(_factor(graph, value) for value in call.inputs))


def _hides_again(graph: Any, call: Any, shown: np.ndarray) -> bool:
    """Whether scores are only multiplied by 0 where the Add that follows hides them, and by 1 elsewhere: tf.where so written."""
    after = graph.only_reader(call.node.output[0])
    if after is None or after.op_type != "Add" or not ((shown == 0) | (shown == 1)).all():
        return False
    low = [value for value in map(graph.constant, after.input) if isinstance(value, np.ndarray)]
    return bool(low) and low[0].shape == shown.shape and np.array_equal(low[0] <= NEVER, shown == 0)


def _factor(graph: Any, value: Any) -> Rows | Weights:
    """A parameter; before the first layer, where it normalises the input, a frozen constant."""
    if isinstance(value, Weights) and not graph.layer_names:
        graph.note("what scales the inputs before the first layer is frozen as it is")
        return frozen(value)
    return held(value)


@operator("Div")
def div(graph: Any, call: Any) -> Rows:
    a, b = (value if isinstance(value, Rows) else frozen(value) for value in call.inputs)
    return graph.rows.quotient(call.name, a, b)


def frozen(value: Any) -> Weights:
    """A constant that normalises: it is not trained."""
    return Weights(weights_of(value).values)


def weights_of(value: Any) -> Weights:
    made = held(value)
    if isinstance(made, Rows):
        raise Refused("takes parameters that depend on the input", "make them constant")
    return made


@operator("Neg")
def neg(graph: Any, call: Any) -> Rows:
    return graph.rows.scaled(call.name, call.inputs[0], -1.0)


@operator("Pow")
def power(graph: Any, call: Any) -> Rows:
    x, exponent = call.inputs
    if isinstance(exponent, Rows) or np.size(exponent) != 1 or float(np.reshape(exponent, ())) not in (2, 3):
        raise Refused("raises to another power than 2 or 3", "multiply instead")
    square = graph.rows.product(call.name, x, x)
    return square if float(np.reshape(exponent, ())) == 2 else graph.rows.product(call.name, square, x)


@operator("Where")
def where(graph: Any, call: Any) -> Rows:
    mask, a, b = call.inputs
    kept, filled = (a, b) if isinstance(a, Rows) else (b, a)
    if isinstance(mask, Rows) or isinstance(filled, Rows) or float(np.max(weights_of(filled).values)) > NEVER:
        raise Refused("chooses between arrays", "a constant causal mask is supported")
    mask = np.asarray(mask).astype(bool)
    return graph.rows.masked(kept, mask if kept is b else ~mask)


@operator("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
def compare(graph: Any, call: Any) -> Rows:
    raise Refused(
        "compares numbers that the input decides", "leave such masks out: in Keras, Embedding without mask_zero"
    )


# ---- activations ----------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "Relu": Activation.relu,
    "Tanh": Activation.tanh,
    "Sin": Activation.sine,
    "Sigmoid": Activation.sigmoid,
    "HardSwish": Activation.hard_swish,
    "Swish": Activation.silu,
}


@operator(*ACTIVATIONS)
def activation(graph: Any, call: Any) -> Rows:
    if call.attributes.get("alpha", 1.0) != 1:
        raise Refused(f"has alpha {call.attributes['alpha']}", "1 is supported")
    return graph.rows.activation(call.name, call.inputs[0], ACTIVATIONS[call.node.op_type])


@operator("LeakyRelu")
def leaky_relu(graph: Any, call: Any) -> Rows:
    return graph.rows.activation(call.name, call.inputs[0], Activation.leaky_relu, call.attributes.get("alpha", 0.01))


@operator("Gelu")
def gelu(graph: Any, call: Any) -> Rows:
    if call.attributes.get("approximate", "none") != "none":
        raise Refused("is GELU by way of tanh", "use the exact one")
    return graph.rows.activation(call.name, call.inputs[0], Activation.gelu)


@operator("HardSigmoid")
def hard_sigmoid(graph: Any, call: Any) -> Rows:
    slope, shift = call.attributes.get("alpha", 0.2), call.attributes.get("beta", 0.5)
    return graph.rows.hard_sigmoid(call.name, call.inputs[0], slope, shift)


@operator("Clip")
def clip(graph: Any, call: Any) -> Rows:
    low, high = call.given("min", 1), call.given("max", 2)
    high = None if high is None or high > 3e38 else high
    return graph.rows.clamped(call.name, call.inputs[0], low, high)


# ---- shapes ---------------------------------------------------------------------------------------------------------


@operator("Identity")
def identity(graph: Any, call: Any) -> Rows:
    return call.inputs[0]


@operator("Dropout")
def dropout(graph: Any, call: Any) -> Rows:
    if call.given("training_mode", 2, False):
        raise Refused("is active", "export the model for inference")
    return call.inputs[0]


@operator("Cast")
def cast(graph: Any, call: Any) -> Rows:
    kind = onnx.TensorProto.DataType.Name(call.attributes["to"])
    if kind != "FLOAT" and not (kind in ("INT32", "INT64") and graph.rows.plain(call.inputs[0]).array == 0):
        raise Refused(f"turns numbers into {kind}", "a device computes in float32")
    return call.inputs[0]


@operator("Reshape")
def reshape(graph: Any, call: Any) -> Rows:
    sizes, before = call.given("shape", 1), graph.rows.full_shape(call.inputs[0])
    kept = not call.attributes.get("allowzero", 0)
    return graph.rows.reshaped(
        call.inputs[0], [before[axis] if size == 0 and kept else size for axis, size in enumerate(sizes)]
    )


@operator("Flatten")
def flatten(graph: Any, call: Any) -> Rows:
    shape = graph.rows.full_shape(call.inputs[0])
    axis = call.attributes.get("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return graph.rows.reshaped(call.inputs[0], (math.prod(shape[:axis]), math.prod(shape[axis:])))


@operator("Squeeze")
def squeeze(graph: Any, call: Any) -> Rows:
    shape = graph.rows.full_shape(call.inputs[0])
    axes = call.given("axes", 1)
    gone = {a % len(shape) for a in axes} if axes is not None else {a for a, size in enumerate(shape) if size == 1}
    if any(shape[axis] != 1 for axis in gone):
        raise Refused("leaves out axes that are longer than 1", "export the model again")
    return graph.rows.reshaped(call.inputs[0], [size for axis, size in enumerate(shape) if axis not in gone])


@operator("Unsqueeze")
def unsqueeze(graph: Any, call: Any) -> Rows:
    shape, axes = list(graph.rows.full_shape(call.inputs[0])), call.given("axes", 1)
    for axis in sorted(axis % (len(shape) + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return graph.rows.reshaped(call.inputs[0], shape)


@operator("Expand")
def expand(graph: Any, call: Any) -> Rows:
    before = graph.rows.full_shape(call.inputs[0])
    made = tuple(np.broadcast_shapes(before, tuple(call.given("shape", 1))))
    if made != before:
        raise Refused(
            f"repeats an array {list(before)} to {list(made)}", "sums and products repeat arrays by themselves"
        )
    return call.inputs[0]


@operator("Transpose")
def transpose(graph: Any, call: Any) -> Rows:
    axes = call.attributes.get("perm") or list(reversed(range(len(call.inputs[0].shape))))
    return graph.rows.transposed(call.name, call.inputs[0], axes)


@operator("Concat")
def concat(graph: Any, call: Any) -> Rows:
    return graph.rows.concat(call.name, [held(value) for value in call.inputs], call.attributes["axis"])


@operator("Slice")
def slice_(graph: Any, call: Any) -> Rows:
    x, starts, ends = call.inputs[0], call.given("starts", 1), call.given("ends", 2)
    axes, steps = call.given("axes", 3) or range(len(starts)), call.given("steps", 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        taken = range(*slice(start, end, step).indices(graph.rows.full_shape(x)[axis]))
        if (taken.start, len(taken), step) != (0, graph.rows.full_shape(x)[axis], 1):
            x = graph.rows.sliced(call.name, x, axis, taken.start, len(taken), step)
    return x


@operator("Split")
def split(graph: Any, call: Any) -> list[Rows]:
    x, axis, count = call.inputs[0], call.attributes.get("axis", 0), len(call.node.output)
    size = graph.rows.full_shape(x)[axis]
    each = -(-size // count)
    sizes = call.given("split", 1) or [min(each, size - at) for at in range(0, size, each)]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return [
        graph.rows.sliced(f"{call.name}.{part}", x, axis, start, length)
        for part, (start, length) in enumerate(zip(starts, sizes, strict=True))
    ]


@operator("Pad")
def pad(graph: Any, call: Any) -> Rows:
    sizes, value, count = call.given("pads", 1), call.given("value", 2, 0.0), len(call.inputs[0].shape)
    if call.attributes.get("mode", "constant") != "constant" or value or call.given("axes", 3):
        raise Refused("pads with other numbers than zeros, or some axes", "pad all axes with zeros")
    return graph.rows.padded(call.inputs[0], sizes[:count], sizes[count:])


# ---- along axes -----------------------------------------------------------------------------------------------------


def _reduced(graph: Any, call: Any, kind: str) -> tuple[Rows, int]:
    x, axes = call.inputs[0], call.given("axes", 1)
    if not axes:
        raise Refused("takes all axes together", "name the axes, without that of the rows")
    count = math.prod(x.shape[axis] for axis in axes)
    return graph.rows.reduced(call.name, x, kind, axes, keep=bool(call.attributes.get("keepdims", 1))), count


@operator("ReduceMean")
def reduce_mean(graph: Any, call: Any) -> Rows:
    return _reduced(graph, call, "average")[0]


@operator("ReduceSum")
def reduce_sum(graph: Any, call: Any) -> Rows:
    mean, count = _reduced(graph, call, "average")
    return graph.rows.scaled(f"{call.name}.count", mean, float(count))


@operator("ReduceMax")
def reduce_max(graph: Any, call: Any) -> Rows:
    return _reduced(graph, call, "max")[0]


@operator("Softmax")
def softmax(graph: Any, call: Any) -> Rows:
    x = call.inputs[0]
    last = len(x.shape) - 1
    axis = call.attributes.get("axis", -1 if call.opset >= 13 else 1)
    if call.opset < 13 and axis % len(x.shape) != last and math.prod(x.shape[axis % len(x.shape) + 1 :]) != 1:
        raise Refused("takes several axes together, as before opset 13", "export the model with opset 13 or newer")
    return graph.rows.soft_max(call.name, x, axis)
