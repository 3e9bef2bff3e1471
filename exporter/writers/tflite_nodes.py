# SPDX-License-Identifier: MIT
"""The nodes of a graph in a TFLite file: builtin operators in version 1.

Images stand as [channel][row][column] in a plan and as [row][column][channel] in TFLite: a TRANSPOSE stands before and after
each CONV_2D, DEPTHWISE_CONV_2D and pooling. A recurrent cell is written step by step.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tflite

from ttzo.device_runtime.contract import Activation, Cell, LayerKind, NodeOperation
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.broadcast import Broadcast
from ttzo.exporter.operations.concat import Concat
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.operations.matrix_product import MatrixProduct
from ttzo.exporter.operations.norm import Norm
from ttzo.exporter.operations.operation import AlongAxis
from ttzo.exporter.operations.pooling import Pool
from ttzo.exporter.operations.recurrent import Recurrent
from ttzo.exporter.operations.scale import Scale
from ttzo.exporter.operations.slice import Slice
from ttzo.exporter.operations.soft_max import SoftMax
from ttzo.exporter.operations.transpose import Transpose
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.writers.tflite_file import NO_TENSOR, FileGraph
from ttzo.exporter.writers.tflite_layer import Arrays, layer

OP = tflite.BuiltinOperator
VALID = tflite.Padding.VALID
LOWEST = np.float32(-3e38)  # beyond the border of a maximum, and where a causal mask hides a score
PLAIN = {
    Activation.relu: OP.RELU,
    Activation.tanh: OP.TANH,
    Activation.sine: OP.SIN,
    Activation.relu6: OP.RELU6,
    Activation.hard_swish: OP.HARD_SWISH,
    Activation.sigmoid: OP.LOGISTIC,
}


class Nodes:
    """Adds nodes to a file. `x`: the tensor of the network's input."""

    def __init__(self, graph: FileGraph, x: int):
        self.graph, self._x, self._node = graph, x, ""
        self._read_again: set[int] = set()

    def add(self, node: Node, arrays: Arrays, inputs: list[int], read_again: set[int]) -> int:
        """The tensor that holds the node's output. `read_again`: those inputs that other nodes read too.

        Raises `PlanError` for what the format does not have.
        """
        self._node, self._read_again = node.name, read_again
        return WRITERS[node.operation.CODE](self, node.operation, arrays, inputs)

    def outputs(self, x: int, n: int) -> int:
        """`x` as the network's output."""
        self._node = "outputs"
        return self.graph.pieces(x, (n,), "outputs")

    # ---- what several operations need

    def name(self, what: str) -> str:
        return f"{self._node}.{what}"

    def view(self, x: int, *shape: int) -> int:
        """`x` in another shape. LiteRT 2.3 gives a RESHAPE the memory of its input and lets the next operator overwrite it,
        whoever else reads that input: what other nodes read is copied first."""
        if x in self._read_again and self.graph.tensors[x].shape[1:] != shape:
            x = self.each(OP.ADD, x, self.number(0.0))
        return self.graph.reshape(x, shape, self.name("view"))

    def constant(self, what: str, data: np.ndarray) -> int:
        return self.graph.constant(self.name(what), data)

    def number(self, value: float) -> int:
        return self.graph.constant(str(np.float32(value)), np.array([value], np.float32))

    def parameters(self, arrays: Arrays) -> dict[str, int]:
        """Constants by their short names, as in `weight`."""
        return {name.rsplit(".", 1)[1]: self.graph.constant(name, array) for name, array in arrays.items()}

    def each(self, code: int, x: int, *more: int, **options: float) -> int:
        """An operator whose output has the shape of `x`."""
        return self.graph.elementwise(code, [x, *more], self.name("each"), **options)

    def made(self, code: int, inputs: list[int], *shape: int, **options: float) -> int:
        """An operator whose output has that shape for each row."""
        return self.graph.compute(code, inputs, (1, *shape), self.name("made"), **options)

    def mean(self, x: int, axis: int, *shape: int, keeps: bool = False) -> int:
        return self.made(OP.MEAN, [x, self.graph.integers((axis,))], *shape, KeepDims=keeps)

    def transposed(self, x: int, *axes: int) -> int:
        return self.graph.transpose(x, axes, self.name("transposed"))

    def image(self, x: int, channels: int, height: int, width: int) -> int:
        """`x` [channel][row][column] as [row][column][channel]."""
        if channels == 1 or height * width == 1:
            return self.view(x, height, width, channels)
        return self.transposed(self.view(x, channels, height, width), 1, 2, 0)

    def channels_first(self, x: int) -> int:
        height, width, channels = self.graph.tensors[x].shape[1:]
        return x if channels == 1 or height * width == 1 else self.transposed(x, 2, 0, 1)

    def bordered(self, x: int, borders: tuple[int, int, int, int], value: float = 0.0) -> int:
        """An image [row][column][channel] with rows and columns of `value` above, left, below and right of it."""
        if not any(borders):
            return x
        above, left, below, right = borders
        height, width, channels = self.graph.tensors[x].shape[1:]
        sizes = self.constant("border", np.array([[0, 0], [above, below], [left, right], [0, 0]], np.int32))
        shape = height + above + below, width + left + right, channels
        if value == 0.0:
            return self.made(OP.PAD, [x, sizes], *shape)
        return self.made(OP.PADV2, [x, sizes, self.number(value)], *shape)

    def piece(self, x: int, first: int, count: int, step: int = 1, axis: int = 1) -> int:
        """Entries first, first + step, ... of an axis of `x`, the batch being axis 0."""
        shape = self.graph.tensors[x].shape
        low, steps, high = [0] * len(shape), [1] * len(shape), list(shape)
        low[axis], steps[axis], high[axis] = first, step, first + (count - 1) * step + 1
        places = [self.graph.integers(tuple(each)) for each in (low, high, steps)]
        left = (*shape[1:axis], count, *shape[axis + 1 :])
        return self.made(OP.STRIDED_SLICE, [x, *places], *left, BeginMask=1, EndMask=1)


# ---- layers ---------------------------------------------------------------------------------------------------------


def _affine(nodes: Nodes, operation: Affine, arrays: Arrays, inputs: list[int]) -> int:
    owner = next(iter(arrays)).rsplit(".", 1)[0]  # which is another node where parameters are shared
    made = dataclasses.replace(operation.layer, name=owner)
    x = nodes.view(inputs[0], made.n_inputs)
    if made.kind != LayerKind.dense or not isinstance(made.gather, Patches):
        return layer(nodes.graph, made, arrays, x)
    x = _convolution(nodes, made, nodes.parameters(arrays), arrays[f"{owner}.weight"], x)
    return x if made.activation == Activation.identity else nodes.each(PLAIN[made.activation], x)


def _convolution(nodes: Nodes, made: Layer, parameters: dict[str, int], weight: np.ndarray, x: int) -> int:
    gather = made.patches
    x = nodes.bordered(nodes.image(x, gather.channels, gather.height, gather.width), gather.borders)
    part = gather.channels // gather.groups
    kernel = weight.reshape(made.out_features, part, *gather.kernel)
    options = {
        "Padding": VALID,
        "StrideH": gather.stride[0],
        "StrideW": gather.stride[1],
        "DilationHFactor": gather.dilation[0],
        "DilationWFactor": gather.dilation[1],
    }
    if gather.groups == 1:
        code, order = OP.CONV_2D, (0, 2, 3, 1)  # [output][row][column][channel]
    elif part == 1:
        code, order = OP.DEPTHWISE_CONV_2D, (1, 2, 3, 0)
        options["DepthMultiplier"] = made.out_features // gather.groups
    else:
        refused = f"node {made.name}: TFLite Micro has no convolution of {gather.groups} groups of {part} channels"
        raise PlanError(refused, "use model.onnx, or groups of one channel")
    bias = parameters["bias"] if made.has_bias else nodes.constant("no_bias", np.zeros(made.out_features, np.float32))
    turned = nodes.graph.constant(f"{made.name}.kernel", np.ascontiguousarray(kernel.transpose(order)))
    return nodes.channels_first(nodes.made(code, [x, turned, bias], *gather.out_image, made.out_features, **options))


# ---- element by element ---------------------------------------------------------------------------------------------


def _activation(nodes: Nodes, operation: Activate, arrays: Arrays, inputs: list[int]) -> int:
    (x,), kind = inputs, operation.activation
    if kind == Activation.identity:
        return x
    if kind == Activation.leaky_relu:
        return nodes.each(OP.LEAKY_RELU, x, Alpha=operation.slope)
    if kind == Activation.silu:
        return nodes.each(OP.MUL, x, nodes.each(OP.LOGISTIC, x))
    return nodes.each(OP.GELU, x, Approximate=False) if kind == Activation.gelu else nodes.each(PLAIN[kind], x)


def _scale(nodes: Nodes, operation: Scale, arrays: Arrays, inputs: list[int]) -> int:
    x = nodes.view(inputs[0], operation.outer, operation.channels, operation.inner)
    for code, (name, array) in zip((OP.MUL, OP.ADD)[not operation.has_weight :], arrays.items(), strict=False):
        x = nodes.each(code, x, nodes.graph.constant(name, array.reshape(operation.channels, 1)))
    return x


def _broadcast(nodes: Nodes, operation: Broadcast, arrays: Arrays, inputs: list[int]) -> int:
    code = OP.MUL if NodeOperation.multiply == operation.CODE else OP.SUB if operation.minus else OP.ADD
    x = nodes.view(inputs[0], operation.outer, operation.middle, operation.inner)
    return nodes.each(code, x, nodes.view(inputs[1], 1, operation.middle, 1))


def _learnt_array(nodes: Nodes, operation, arrays: Arrays, inputs: list[int]) -> int:
    """The constant for every row of the batch: added to a zero for each of them."""
    ((name, array),) = arrays.items()
    zeros = nodes.each(OP.MUL, nodes.piece(nodes._x, 0, 1), nodes.number(0.0))
    return nodes.made(OP.ADD, [zeros, nodes.graph.constant(name, array.reshape(1, -1))], operation.numbers)


def _norm(nodes: Nodes, norm: Norm, arrays: Arrays, inputs: list[int]) -> int:
    x, parameters = nodes.view(inputs[0], norm.outer, norm.size), nodes.parameters(arrays)
    if NodeOperation.layer_norm == norm.CODE:
        x = nodes.each(OP.SUB, x, nodes.mean(x, 2, norm.outer, 1, keeps=True))
    square = nodes.mean(nodes.each(OP.MUL, x, x), 2, norm.outer, 1, keeps=True)
    root = nodes.each(OP.SQRT, nodes.each(OP.ADD, square, nodes.number(norm.epsilon)))
    x = nodes.each(OP.DIV, x, root)
    x = nodes.each(OP.MUL, x, parameters["weight"]) if norm.has_weight else x
    return nodes.each(OP.ADD, x, parameters["bias"]) if norm.has_bias else x


# ---- arrays that move -----------------------------------------------------------------------------------------------


def _concat(nodes: Nodes, operation: Concat, arrays: Arrays, inputs: list[int]) -> int:
    parts = [nodes.view(x, operation.outer, size) for x, size in zip(inputs, operation.sizes, strict=True)]
    return nodes.made(OP.CONCATENATION, parts, operation.outer, sum(operation.sizes), Axis=2)


def _slice(nodes: Nodes, operation: Slice, arrays: Arrays, inputs: list[int]) -> int:
    x = nodes.view(inputs[0], operation.outer, operation.size, operation.inner)
    return nodes.piece(x, operation.first, operation.count, operation.step, axis=2)


def _transpose(nodes: Nodes, operation: Transpose, arrays: Arrays, inputs: list[int]) -> int:
    kept = [axis for axis in operation.axes if operation.sizes[axis] > 1]  # an axis of one number may stand anywhere
    if len(kept) > 3:
        raise PlanError(f"node {nodes._node}: TFLite Micro transposes three axes of a row, not four", "use model.onnx")
    given = sorted(kept)
    x = nodes.view(inputs[0], *(operation.sizes[axis] for axis in given))
    return nodes.transposed(x, *(given.index(axis) for axis in kept)) if kept != given else x


# ---- along axes -----------------------------------------------------------------------------------------------------


def _global(nodes: Nodes, operation: AlongAxis, arrays: Arrays, inputs: list[int]) -> int:
    x = nodes.view(inputs[0], operation.outer, operation.size, operation.inner)
    if NodeOperation.global_mean == operation.CODE:
        return nodes.mean(x, 2, operation.outer, operation.inner)
    axis = nodes.graph.integers((2,))
    return nodes.made(OP.REDUCE_MAX, [x, axis], operation.outer, operation.inner, KeepDims=False)


def _pool(nodes: Nodes, pool: Pool, arrays: Arrays, inputs: list[int]) -> int:
    is_max = NodeOperation.max_pool == pool.CODE
    borders = (pool.padding_top, pool.padding_left, pool.padding_bottom, pool.padding_right)
    x = nodes.image(inputs[0], pool.channels, pool.height, pool.width)
    x = nodes.bordered(x, borders, float(LOWEST) if is_max else 0.0)
    x = nodes.made(
        OP.MAX_POOL_2D if is_max else OP.AVERAGE_POOL_2D,
        [x],
        pool.out_height,
        pool.out_width,
        pool.channels,
        Padding=VALID,
        FilterHeight=pool.kernel_height,
        FilterWidth=pool.kernel_width,
        StrideH=pool.stride_height,
        StrideW=pool.stride_width,
    )
    if any(borders) and not is_max and not pool.count_padding:
        x = nodes.each(OP.MUL, x, nodes.constant("shares", _shares(pool)))
    return nodes.channels_first(x)


def _shares(pool: Pool) -> np.ndarray:
    """What makes means over whole windows means over those places of a window that lie inside: [row][column][1]."""
    rows = _inside(pool.height, pool.kernel_height, pool.stride_height, pool.padding_top, pool.out_height)
    columns = _inside(pool.width, pool.kernel_width, pool.stride_width, pool.padding_left, pool.out_width)
    window = np.float32(pool.kernel_height * pool.kernel_width)
    return window / (rows[:, None] * columns)[:, :, None].astype(np.float32)


def _inside(size: int, kernel: int, stride: int, padding: int, count: int) -> np.ndarray:
    first = np.arange(count) * stride - padding
    return np.minimum(first + kernel, size) - np.maximum(first, 0)


def _soft_max(nodes: Nodes, operation: SoftMax, arrays: Arrays, inputs: list[int]) -> int:
    outer, size, inner = operation.outer, operation.size, operation.inner
    if operation.causal:
        hidden = np.where(np.tri(size, dtype=bool), np.float32(0), LOWEST)
        x = nodes.each(OP.ADD, nodes.view(inputs[0], outer // size, size, size), nodes.constant("mask", hidden))
        return nodes.each(OP.SOFTMAX, x, Beta=1.0)
    x = nodes.view(inputs[0], outer, size, inner)
    if inner == 1:
        return nodes.each(OP.SOFTMAX, nodes.view(x, outer, size), Beta=1.0)
    return nodes.transposed(nodes.each(OP.SOFTMAX, nodes.transposed(x, 0, 2, 1), Beta=1.0), 0, 2, 1)


# ---- products and cells ---------------------------------------------------------------------------------------------


def _matrix_product(nodes: Nodes, operation: MatrixProduct, arrays: Arrays, inputs: list[int]) -> int:
    count, rows, inner, columns = operation.count, operation.rows, operation.inner, operation.columns
    right = (count, columns, inner) if operation.transposed else (count, inner, columns)
    pair = [nodes.view(inputs[0], count, rows, inner), nodes.view(inputs[1], *right)]
    return nodes.made(OP.BATCH_MATMUL, pair, count, rows, columns, AdjY=bool(operation.transposed))


def _recurrent(nodes: Nodes, operation: Recurrent, arrays: Arrays, inputs: list[int]) -> int:
    graph, parameters, hidden = nodes.graph, nodes.parameters(arrays), operation.hidden
    bias = [parameters.get(name, NO_TENSOR) for name in ("bias_ih", "bias_hh")]
    x = nodes.view(inputs[0], operation.steps, operation.in_features)
    x = graph.pieces(x, (operation.in_features,), nodes.name("steps"))
    x = graph.fully_connected(x, parameters["weight_ih"], bias[0], nodes.name("of_inputs"))
    x = nodes.view(x, operation.steps, operation.rows)
    zeros = nodes.each(OP.MUL, nodes.piece(nodes.view(x, operation.steps * operation.rows), 0, hidden), nodes.number(0))
    h = s = zeros
    states = [h] * operation.steps
    for t in list(range(operation.steps))[:: -1 if operation.reverse else 1]:
        a = nodes.view(nodes.piece(x, t, 1), operation.rows)
        c = graph.fully_connected(h, parameters["weight_hh"], bias[1], nodes.name("of_state"))
        h, s = STEPS[Cell(operation.cell)](nodes, hidden, a, c, h, s)
        states[t] = h
    if operation.last:
        return h
    return nodes.made(OP.CONCATENATION, states, operation.steps * hidden, Axis=1)


def _tanh_step(nodes: Nodes, hidden: int, a: int, c: int, h: int, s: int) -> tuple[int, int]:
    return nodes.each(OP.TANH, nodes.each(OP.ADD, a, c)), s


def _gru_step(nodes: Nodes, hidden: int, a: int, c: int, h: int, s: int) -> tuple[int, int]:
    gates = nodes.each(OP.LOGISTIC, nodes.each(OP.ADD, nodes.piece(a, 0, 2 * hidden), nodes.piece(c, 0, 2 * hidden)))
    r, z = nodes.piece(gates, 0, hidden), nodes.piece(gates, hidden, hidden)
    reset = nodes.each(OP.MUL, r, nodes.piece(c, 2 * hidden, hidden))
    new = nodes.each(OP.TANH, nodes.each(OP.ADD, reset, nodes.piece(a, 2 * hidden, hidden)))
    return nodes.each(OP.ADD, nodes.each(OP.MUL, z, nodes.each(OP.SUB, h, new)), new), s


def _lstm_step(nodes: Nodes, hidden: int, a: int, c: int, h: int, s: int) -> tuple[int, int]:
    total = nodes.each(OP.ADD, a, c)
    i, f, g, o = (nodes.piece(total, gate * hidden, hidden) for gate in range(4))
    i, f, o = (nodes.each(OP.LOGISTIC, gate) for gate in (i, f, o))
    s = nodes.each(OP.ADD, nodes.each(OP.MUL, f, s), nodes.each(OP.MUL, i, nodes.each(OP.TANH, g)))
    return nodes.each(OP.MUL, o, nodes.each(OP.TANH, s)), s


STEPS = {Cell.tanh: _tanh_step, Cell.gru: _gru_step, Cell.lstm: _lstm_step}

WRITERS: dict[NodeOperation, Callable[..., int]] = {
    NodeOperation.affine: _affine,
    NodeOperation.activation: _activation,
    NodeOperation.scale: _scale,
    NodeOperation.learnt_array: _learnt_array,
    NodeOperation.add: _broadcast,
    NodeOperation.multiply: _broadcast,
    NodeOperation.concat: _concat,
    NodeOperation.slice: _slice,
    NodeOperation.transpose: _transpose,
    NodeOperation.max_pool: _pool,
    NodeOperation.average_pool: _pool,
    NodeOperation.global_mean: _global,
    NodeOperation.global_max: _global,
    NodeOperation.soft_max: _soft_max,
    NodeOperation.layer_norm: _norm,
    NodeOperation.rms_norm: _norm,
    NodeOperation.matrix_product: _matrix_product,
    NodeOperation.recurrent: _recurrent,
}
