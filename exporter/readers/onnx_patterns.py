# SPDX-License-Identifier: MIT
"""Groups of ONNX nodes that are one operation: GELU by Erf, and norms that older opsets write out."""

import math
from typing import Any

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.readers.onnx_arrays import operator
from ttzo.exporter.readers.rows import Refused, Rows
from ttzo.exporter.writers.onnx.onnx_nodes import onnx

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


@operator("Sqrt")
def norm(graph: Any, call: Any) -> Any:
    """x / sqrt(mean(x x) + epsilon), where x may be a difference from its mean: an RMS norm, or a layer norm."""
    shifted = _maker(graph, call.node.input[0], "Add")
    numbers = [] if shifted is None else [graph.number(name) for name in shifted.input]
    epsilon = next((number for number in numbers if number is not None), None)
    mean = (
        None if shifted is None or epsilon is None else _maker(graph, shifted.input[numbers.index(None)], "ReduceMean")
    )
    square = None if mean is None else _maker(graph, mean.input[0], "Pow", "Mul")
    if mean is None or square is None:
        raise Refused("stands alone", ALONE)
    squares = square.input[0] == square.input[1] or graph.number(square.input[1]) == 2
    x, last = square.input[0], graph.only_reader(call.node.output[0])
    inside = [call.node.output[0]]
    if last is not None and last.op_type == "Reciprocal":
        inside.append(last.output[0])
        last = graph.only_reader(last.output[0])
        fits = last is not None and last.op_type == "Mul" and x in last.input
    else:
        fits = last is not None and last.op_type == "Div" and list(last.input) == [x, inside[0]]
    if not squares or not fits:
        raise Refused("stands alone", ALONE)
    kind, value = _centred(graph, x)
    axes = _last_axes(graph, mean, value)
    graph.values.update(dict.fromkeys(inside))
    graph.values[last.output[0]] = graph.rows.norm(kind, call.name, value, axes, None, None, epsilon)
    return None


def _centred(graph: Any, x: str) -> tuple[str, Rows]:
    """The kind of norm, and the array that it normalises."""
    difference = _maker(graph, x, "Sub")
    mean = None if difference is None else _maker(graph, difference.input[1], "ReduceMean")
    if difference is not None and mean is not None and mean.input[0] == difference.input[0]:
        return "layer", graph.values[difference.input[0]]
    return "rms", graph.values[x]


def _last_axes(graph: Any, mean: "onnx.NodeProto", x: Rows) -> int:
    named = next((list(attribute.ints) for attribute in mean.attribute if attribute.name == "axes"), None)
    if named is None and len(mean.input) > 1:
        constant = graph.constant(mean.input[1])
        named = [] if constant is None else [int(axis) for axis in constant]
    axes = sorted(axis % len(x.shape) for axis in named or ())
    if not axes or axes != list(range(axes[0], len(x.shape))):
        raise Refused("normalises along other axes than the last", "normalise the last axes")
    return len(axes)
