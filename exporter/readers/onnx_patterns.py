# SPDX-License-Identifier: MIT
"""Groups of ONNX nodes that are one operation: GELU by Erf, and norms that older opsets write out."""

import math
from dataclasses import dataclass
from typing import Any

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.readers.onnx_arrays import attributes, operator, weights_of
from ttzo.exporter.readers.rows import Refused, Rows, Weights, parameter
from ttzo.exporter.writers.onnx.onnx_nodes import onnx

MEANS = ("ReduceMean", "GlobalAveragePool")
ALONE = "it is supported as a part of a GELU or a norm"


def _maker(graph: Any, name: str, *operators: str) -> "onnx.NodeProto | None":
    """The node that makes a value, if it is one of these operators."""
    node = graph.makers.get(name)
    return node if node is not None and node.op_type in operators else None


def _other(graph: Any, node: "onnx.NodeProto", name: str) -> Any:
    """The other input of a node of two: its number where it is a constant, else its name."""
    other = node.input[1] if node.input[0] == name else node.input[0]
    number = graph.number(other)
    return other if number is None else number


@operator("Erf")
def gelu(graph: Any, call: Any) -> Any:
    """x (1 + erf(x / sqrt 2)) / 2: its last product becomes the GELU."""
    inner = _maker(graph, call.node.input[0], "Div", "Mul")
    factor = None if inner is None else graph.number(inner.input[1])
    if inner is None or not factor or abs((1 / factor if inner.op_type == "Div" else factor) - math.sqrt(0.5)) > 1e-4:
        raise Refused("stands alone", ALONE)
    x, inside = inner.input[0], [call.node.output[0]]
    factors: set[str | float] = set()
    last = graph.only_reader(inside[0])
    if last is None or last.op_type != "Add" or _other(graph, last, inside[0]) != 1:
        raise Refused("stands alone", ALONE)
    while factors != {x, 0.5}:
        inside.append(last.output[0])
        last = graph.only_reader(last.output[0])
        if last is None or last.op_type != "Mul" or len(factors) > 1:
            raise Refused("stands alone", ALONE)
        other = _other(graph, last, inside[-1])
        half = _maker(graph, other, "Mul") if isinstance(other, str) else None
        factors |= {x, _other(graph, half, x)} if half is not None and x in half.input else {other}
    graph.values.update(dict.fromkeys(inside))  # they are not computed by themselves
    graph.values[last.output[0]] = graph.rows.activation(call.name, graph.values[x], Activation.gelu)
    return None


@dataclass(frozen=True)
class Tail:
    """The end of a norm: what it gives, the values before that, and the names of its parameters."""

    output: str
    inside: list[str]
    weight: str = ""
    bias: str = ""


@operator("Sqrt")
def norm(graph: Any, call: Any) -> Any:
    """x / sqrt(mean(x x) + epsilon), where x may be a difference from its mean: an RMS norm, or a layer norm."""
    shifted = _maker(graph, call.node.input[0], "Add")
    numbers = [] if shifted is None else [graph.number(name) for name in shifted.input]
    epsilon = next((number for number in numbers if number is not None), None)
    mean = None if shifted is None or epsilon is None else _maker(graph, shifted.input[numbers.index(None)], *MEANS)
    square = None if mean is None else _maker(graph, mean.input[0], "Pow", "Mul")
    if mean is None or square is None:
        raise Refused("stands alone", ALONE)
    if square.input[0] != square.input[1] and graph.number(square.input[1]) != 2:
        raise Refused("stands alone", ALONE)
    x = square.input[0]
    centre = _centre(graph, x)
    whole = x if centre is None else centre.input[0]
    tail = _tail(graph, call.node.output[0], x, whole, "" if centre is None else centre.output[0])
    if tail is None:
        raise Refused("stands alone", ALONE)
    value = graph.values[whole]
    axes = _last_axes(graph, mean, value)
    if centre is not None and _last_axes(graph, centre, value) != axes:
        raise Refused("divides by a deviation along other axes than those of the mean", "take both along the same axes")
    kind = "rms" if centre is None else "layer"
    parameters = _parameters(graph, tail, value.shape[-axes:])
    graph.values.update(dict.fromkeys(tail.inside))
    graph.values[tail.output] = graph.rows.norm(kind, call.name, value, axes, *parameters, epsilon)
    return None


def _centre(graph: Any, x: str) -> "onnx.NodeProto | None":
    """The mean that was taken off `x`, if one was."""
    difference = _maker(graph, x, "Sub")
    mean = None if difference is None else _maker(graph, difference.input[1], *MEANS)
    return mean if mean is not None and difference is not None and mean.input[0] == difference.input[0] else None


def _tail(graph: Any, root: str, x: str, whole: str, centre: str) -> Tail | None:
    """x / root or x (1 / root), without parameters; or as TensorFlow writes it: g = gamma / root, and of an RMS norm x g, of
    a layer norm whole g + (beta - centre g)."""
    after = graph.only_reader(root)
    if after is None or after.op_type not in ("Div", "Reciprocal"):
        return None
    if after.op_type == "Div":
        return Tail(after.output[0], [root]) if list(after.input) == [x, root] else None
    inverse, inside, weight = after.output[0], [root, after.output[0]], ""
    last = graph.only_reader(inverse)
    if last is not None and last.op_type == "Mul" and graph.constant(_beside(last, inverse)) is not None:
        weight, inverse = _beside(last, inverse), last.output[0]
        inside.append(inverse)
        last = graph.only_reader(inverse)
    if last is not None:
        return Tail(last.output[0], inside, weight) if last.op_type == "Mul" and x in last.input else None
    return _shifted(graph, Tail(inverse, inside, weight), whole, centre)


def _shifted(graph: Any, found: Tail, whole: str, centre: str) -> Tail | None:
    """The end of a layer norm whose mean is taken off after the product with g, which is the output of `found`."""
    inverse = found.output
    readers = {_beside(node, inverse): node for node in graph.readers.get(inverse, ()) if node.op_type == "Mul"}
    negative = next((name for name in readers if name != whole), "")
    maker = _maker(graph, negative, "Neg")
    if len(graph.readers.get(inverse, ())) != 2 or whole not in readers or maker is None or maker.input[0] != centre:
        return None
    product, shift, bias = readers[whole].output[0], readers[negative].output[0], ""
    inside = [*found.inside, product, shift]
    last = graph.only_reader(shift)
    if last is not None and last.op_type == "Add" and graph.constant(_beside(last, shift)) is not None:
        bias, shift = _beside(last, shift), last.output[0]
        inside.append(shift)
        last = graph.only_reader(shift)
    if last is None or last.op_type != "Add" or {*last.input} != {product, shift} or not graph.only_reader(product):
        return None
    return Tail(last.output[0], inside, found.weight, bias)


def _beside(node: "onnx.NodeProto", name: str) -> str:
    """The name of the other input of a node of two."""
    return node.input[1] if node.input[0] == name else node.input[0]


def _parameters(graph: Any, tail: Tail, sizes: tuple[int, ...]) -> list[Weights | None]:
    """Weight and bias of a norm over axes of these sizes, called as the n-th layer. Exporters keep arrays that are equal
    once, as those of norms that were not trained yet are, so each norm trains its own."""
    if not tail.weight and not tail.bias:
        return [None, None]
    layer = graph.free_layer()
    made: list[Weights | None] = []
    if tail.weight in graph.layer_names:
        other = graph.layer_names[tail.weight].removesuffix(".weight")
        graph.note(f"the norms {other} and {layer} begin with the same numbers: each trains its own")
    graph.layer_names[tail.output if tail.weight in graph.layer_names else tail.weight or tail.output] = (
        f"{layer}.weight"
    )
    for part, name in (("weight", tail.weight), ("bias", tail.bias)):
        values = weights_of(graph.constant(name)).values if name else None
        if values is not None and (values.size != math.prod(sizes) or values.shape[-len(sizes) :] != sizes):
            raise Refused(
                f"normalises axes {list(sizes)} and has parameters {list(values.shape)}", "give it one for each"
            )
        made.append(None if values is None else parameter(f"{layer}.{part}", values.reshape(-1)))
    return made


def _last_axes(graph: Any, mean: "onnx.NodeProto", x: Rows) -> int:
    given = attributes(mean)
    named = given.get("axes") if mean.op_type == "ReduceMean" else range(2, len(x.shape))
    if named is None and len(mean.input) > 1:
        constant = graph.constant(mean.input[1])
        named = [] if constant is None else [int(axis) for axis in constant]
    axes = sorted(axis % len(x.shape) for axis in named or ())
    if not axes or axes != list(range(axes[0], len(x.shape))) or not given.get("keepdims", 1):
        raise Refused("normalises along other axes than the last", "normalise the last axes")
    return len(axes)
