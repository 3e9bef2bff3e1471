# SPDX-License-Identifier: MIT
"""A plan's forward graph as a TFLite flatbuffer, for LiteRT on a desk and TFLite Micro on a board.

Float32 builtin operators only, each in version 1, which TFLite Micro has too: FULLY_CONNECTED, RESHAPE, TRANSPOSE (of
rank 3), ADD, RELU, TANH, SIN; with convolutions PAD and GATHER of the patches; with embeddings EQUAL, CAST, SUM, MAXIMUM
and DIV, which make unit vectors of tokens and their mean. The input `x` is what the first layer sees, after the plan's input scale and offset:
float32 [1, in_features]; the output is `outputs`, float32 [1, out_features]. The first axis may be resized to any batch.
Weights carry the names of the plan's tensors.

A contraction (repeats, rows, inner, columns) of `Layer.contractions` is one FULLY_CONNECTED, which sums over the last
axis, between two TRANSPOSEs that bring `inner` there and back; they are left out where they move nothing. Weights
are written as FULLY_CONNECTED requires them, [outputs, inner]: for the cores of a 2L-way TT that is a transpose.
"""

import math
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

from ttzo.device_runtime.contract import Activation, Combine, LayerKind
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
BUFFER_ALIGNMENT = 16  # bytes, from the beginning of the file: kernels read the weights where they lie
NO_TENSOR = -1  # an optional input that is not given

ACTIVATION_OPERATORS = {
    Activation.relu: tflite.BuiltinOperator.RELU,
    Activation.tanh: tflite.BuiltinOperator.TANH,
    Activation.sine: tflite.BuiltinOperator.SIN,
}


def tflite_bytes(plan: Plan) -> bytes:
    """The `.tflite` file of the plan at its parameters; equal plans give equal bytes."""
    graph = _Graph()
    x = graph.activation("x", (plan.in_features,))
    for layer in plan.layers:
        tensors = {tensor.name: tensor for tensor in layer.tensors}
        arrays = {name: plan.parameters[t.offset : t.offset + t.size].reshape(t.shape) for name, t in tensors.items()}
        x = _layer(graph, layer, arrays, x)
    graph.tensors[x].name = "outputs"
    return _serialize(graph, inputs=[0], outputs=[x])


# ---- the graph, operator by operator --------------------------------------------------------------------------------


@dataclass
class _Tensor:
    """`data` is None for what is computed; its first axis is then the batch, 1 as written and free at run time."""

    name: str
    shape: tuple[int, ...]
    data: np.ndarray | None = None
    is_truth: bool = False


@dataclass
class _Operator:
    code: int
    inputs: list[int]
    outputs: list[int]
    new_shape: tuple[int, ...] = ()  # of RESHAPE
    axis: int = 0  # of GATHER
    keeps_axes: bool = False  # of SUM


@dataclass
class _Graph:
    """Tensors and operators in the order of execution. Methods that compute return the number of the new tensor."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)

    def activation(self, name: str, shape: tuple[int, ...], repeats: int = 1) -> int:
        """A tensor of `repeats` pieces of `shape` for each sample."""
        self.tensors.append(_Tensor(name, (repeats, *shape)))
        return len(self.tensors) - 1

    def constant(self, name: str, data: np.ndarray) -> int:
        self.tensors.append(_Tensor(name, data.shape, np.ascontiguousarray(data)))
        return len(self.tensors) - 1

    def integers(self, numbers: tuple[int, ...]) -> int:
        """A constant of int32 numbers, which equal ones share."""
        name = str(list(numbers))
        held = [i for i, tensor in enumerate(self.tensors) if tensor.name == name and tensor.data is not None]
        return held[0] if held else self.constant(name, np.array(numbers, np.int32))

    def reshape(self, x: int, shape: tuple[int, ...], name: str) -> int:
        """`x` as pieces of `shape`, as many as there are; `x` itself where it has that shape."""
        held = self.tensors[x].shape
        if held[1:] == shape:
            return x
        out = self.activation(name, shape, math.prod(held) // math.prod(shape))
        new_shape = (-1, *shape)
        self.operators.append(
            _Operator(tflite.BuiltinOperator.RESHAPE, [x, self.integers(new_shape)], [out], new_shape)
        )
        return out

    def swap(self, x: int, a: int, b: int, name: str) -> int:
        """`x`, read as [pieces, a, b], as [pieces, b, a]; `x` itself where the order of its numbers stays."""
        if 1 in (a, b):
            return x
        x = self.reshape(x, (a, b), f"{name}.pieces")
        out = self.activation(name, (b, a), self.tensors[x].shape[0])
        self.operators.append(_Operator(tflite.BuiltinOperator.TRANSPOSE, [x, self.integers((0, 2, 1))], [out]))
        return out

    def fully_connected(self, x: int, weight: int, bias: int, name: str) -> int:
        """`x`, read as [pieces, inner], times the transpose of `weight` [rows, inner], plus `bias` [rows] or nothing.

        The operator itself takes all axes but the last as one, so `x` is reshaped only where that is not `inner`.
        """
        rows, inner = self.tensors[weight].shape
        if self.tensors[x].shape[-1] != inner:
            x = self.reshape(x, (inner,), f"{name}.in")
        out = self.activation(name, (rows,), math.prod(self.tensors[x].shape) // inner)
        self.operators.append(_Operator(tflite.BuiltinOperator.FULLY_CONNECTED, [x, weight, bias], [out]))
        return out

    def compute(self, code: int, inputs: list[int], shape: tuple[int, ...], name: str, **options) -> int:
        """An operator whose output has `shape`, one sample's."""
        out = self.activation(name, shape[1:], shape[0])
        self.operators.append(_Operator(code, inputs, [out], **options))
        return out

    def total(self, x: int, shape: tuple[int, ...], name: str, keeps_axes: bool = False) -> int:
        """`x` summed over its second axis."""
        axis = self.integers((1,))
        return self.compute(tflite.BuiltinOperator.SUM, [x, axis], shape, name, keeps_axes=keeps_axes)

    def elementwise(self, code: int, inputs: list[int], name: str) -> int:
        """An operator whose output has the shape of its first input."""
        held = self.tensors[inputs[0]].shape
        out = self.activation(name, held[1:], held[0])
        self.operators.append(_Operator(code, inputs, [out]))
        return out


def _gather(graph: _Graph, layer: Layer, x: int) -> int:
    """Adds what brings `x` [1, n_inputs] into the rows [applications, in_features] that the layer is applied to."""
    if isinstance(layer.gather, Patches):
        table = layer.gather.table.reshape(-1)
        if table.max() == layer.n_inputs:  # a patch goes beyond the border: there lies one more number, a zero
            border = graph.constant(f"{layer.name}.one_more", np.array([[0, 0], [0, 1]], np.int32))
            x = graph.compute(
                tflite.BuiltinOperator.PAD, [x, border], (1, layer.n_inputs + 1), f"{layer.name}.with_border"
            )
        places = graph.constant(f"{layer.name}.table", table.astype(np.int32))
        return graph.compute(
            tflite.BuiltinOperator.GATHER, [x, places], (1, table.size), f"{layer.name}.patches", axis=1
        )
    known = np.arange(layer.in_features, dtype=np.float32)
    if layer.tokens.padding is not None:
        known[layer.tokens.padding] = -1  # no token's number
    shape, numbers = (layer.positions, layer.in_features), graph.constant(f"{layer.name}.known", known)
    x = graph.reshape(x, (1,), f"{layer.name}.column")
    x = graph.compute(tflite.BuiltinOperator.EQUAL, [x, numbers], shape, f"{layer.name}.is_token")
    graph.tensors[x].is_truth = True
    x = graph.compute(tflite.BuiltinOperator.CAST, [x], shape, f"{layer.name}.units")
    if layer.tokens.combine == Combine.each:
        return x
    x = graph.reshape(x, shape, f"{layer.name}.units_by_row")
    x = graph.total(x, (1, layer.in_features), f"{layer.name}.counts")
    if layer.tokens.combine == Combine.sum:
        return x
    count = graph.total(x, (1, 1), f"{layer.name}.total", keeps_axes=True)
    one = graph.constant(f"{layer.name}.at_least_one", np.ones(1, np.float32))
    count = graph.elementwise(tflite.BuiltinOperator.MAXIMUM, [count, one], f"{layer.name}.divisor")
    return graph.elementwise(tflite.BuiltinOperator.DIV, [x, count], f"{layer.name}.shares")


def _layer(graph: _Graph, layer: Layer, arrays: dict[str, np.ndarray], x: int) -> int:
    """Adds a layer that turns `x` [1, n_inputs] into [1, n_outputs]."""
    x = _gather(graph, layer, x) if layer.gather else x
    bias_name = f"{layer.name}.bias"
    bias = graph.constant(bias_name, arrays[bias_name]) if layer.has_bias else NO_TENSOR
    if layer.kind == LayerKind.dense:
        weight = graph.constant(f"{layer.name}.weight", arrays[f"{layer.name}.weight"])
        x = graph.fully_connected(x, weight, bias, f"{layer.name}.affine")
    else:
        x = _contractions(graph, layer, arrays, x)
        if layer.has_bias:
            x = graph.elementwise(tflite.BuiltinOperator.ADD, [x, bias], f"{layer.name}.affine")
    if isinstance(layer.gather, Patches):
        x = graph.swap(x, layer.positions, layer.out_features, f"{layer.name}.features_first")
    if layer.gather:
        x = graph.reshape(x, (layer.n_outputs,), f"{layer.name}.row")
    if layer.activation != Activation.identity:
        code = ACTIVATION_OPERATORS[layer.activation]
        x = graph.elementwise(code, [x], f"{layer.name}.{layer.activation.name}")
    return x


def _contractions(graph: _Graph, layer: Layer, arrays: dict[str, np.ndarray], x: int) -> int:
    """Adds the layer's matrix products, in the order of `Layer.contractions`."""
    n_cores = len(layer.core_shapes)
    numbers = reversed(range(n_cores)) if layer.kind == LayerKind.tt_matrix else range(n_cores)
    for k, (_, rows, inner, columns) in zip(numbers, layer.contractions, strict=True):
        name = f"{layer.name}.core{k}"
        core = arrays[name]
        at = f"{layer.name}.product{k}"
        if layer.kind == LayerKind.tt_matrix:
            x = _times_core(graph, x, graph.constant(name, core.reshape(rows, inner)), columns, at)
        elif k < len(layer.in_modes):
            x = _times_core(graph, x, graph.constant(name, core.reshape(inner, rows).T), columns, at)
        else:  # an output mode: the core stands at the right, its columns are the outputs
            x = graph.fully_connected(x, graph.constant(name, core.reshape(inner, columns).T), NO_TENSOR, at)
    return graph.reshape(x, (layer.out_features,), f"{layer.name}.out")


def _times_core(graph: _Graph, x: int, weight: int, columns: int, at: str) -> int:
    """Adds `weight` [rows, inner] times `x` [pieces, inner, columns], giving [pieces, rows, columns]."""
    rows, inner = graph.tensors[weight].shape
    x = graph.swap(x, inner, columns, f"{at}.columns_first")
    x = graph.fully_connected(x, weight, NO_TENSOR, at)
    return graph.swap(x, columns, rows, f"{at}.rows_first")


# ---- the file -------------------------------------------------------------------------------------------------------

_OPTIONS = {
    tflite.BuiltinOperator.FULLY_CONNECTED: (tflite.BuiltinOptions.FullyConnectedOptions, "FullyConnectedOptions"),
    tflite.BuiltinOperator.RESHAPE: (tflite.BuiltinOptions.ReshapeOptions, "ReshapeOptions"),
    tflite.BuiltinOperator.TRANSPOSE: (tflite.BuiltinOptions.TransposeOptions, "TransposeOptions"),
    tflite.BuiltinOperator.ADD: (tflite.BuiltinOptions.AddOptions, "AddOptions"),
    tflite.BuiltinOperator.PAD: (tflite.BuiltinOptions.PadOptions, "PadOptions"),
    tflite.BuiltinOperator.GATHER: (tflite.BuiltinOptions.GatherOptions, "GatherOptions"),
    tflite.BuiltinOperator.EQUAL: (tflite.BuiltinOptions.EqualOptions, "EqualOptions"),
    tflite.BuiltinOperator.CAST: (tflite.BuiltinOptions.CastOptions, "CastOptions"),
    tflite.BuiltinOperator.SUM: (tflite.BuiltinOptions.ReducerOptions, "ReducerOptions"),
    tflite.BuiltinOperator.MAXIMUM: (tflite.BuiltinOptions.MaximumMinimumOptions, "MaximumMinimumOptions"),
    tflite.BuiltinOperator.DIV: (tflite.BuiltinOptions.DivOptions, "DivOptions"),
}


def _serialize(graph: _Graph, inputs: list[int], outputs: list[int]) -> bytes:
    builder = flatbuffers.Builder(1024)
    constants = [number for number, tensor in enumerate(graph.tensors) if tensor.data is not None]
    buffer_of = {number: index + 1 for index, number in enumerate(constants)}  # buffer 0 is empty by convention
    codes = sorted({operator.code for operator in graph.operators})
    buffers = [_buffer(builder, None), *(_buffer(builder, graph.tensors[number].data) for number in constants)]
    tensors = [_tensor(builder, tensor, buffer_of.get(i, 0)) for i, tensor in enumerate(graph.tensors)]
    operators = [_operator(builder, operator, codes.index(operator.code)) for operator in graph.operators]
    subgraph = _subgraph(builder, tensors, inputs, outputs, operators)
    operator_codes = _offsets(builder, [_operator_code(builder, code) for code in codes])
    subgraphs, all_buffers = _offsets(builder, [subgraph]), _offsets(builder, buffers)
    description = builder.CreateString("ttzo")
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, SCHEMA_VERSION)
    tflite.ModelAddOperatorCodes(builder, operator_codes)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddDescription(builder, description)
    tflite.ModelAddBuffers(builder, all_buffers)
    builder.Finish(tflite.ModelEnd(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _ints(builder: flatbuffers.Builder, numbers) -> int:
    return builder.CreateNumpyVector(np.array(numbers, np.int32))


def _aligned_bytes(builder: flatbuffers.Builder, data: np.ndarray) -> int:
    """A byte vector whose first element is 16-byte aligned in the finished file."""
    raw = data.astype(data.dtype.newbyteorder("<")).tobytes()
    builder.StartVector(1, len(raw), BUFFER_ALIGNMENT)
    builder.head = builder.Head() - len(raw)
    builder.Bytes[builder.Head() : builder.Head() + len(raw)] = raw
    return builder.EndVector()


def _buffer(builder: flatbuffers.Builder, data: np.ndarray | None) -> int:
    vector = None if data is None else _aligned_bytes(builder, data)
    tflite.BufferStart(builder)
    if vector is not None:
        tflite.BufferAddData(builder, vector)
    return tflite.BufferEnd(builder)


def _tensor(builder: flatbuffers.Builder, tensor: _Tensor, buffer: int) -> int:
    name, shape = builder.CreateString(tensor.name), _ints(builder, tensor.shape)
    signature = _ints(builder, (-1, *tensor.shape[1:])) if tensor.data is None else None
    is_index = tensor.data is not None and tensor.data.dtype == np.int32
    number = tflite.TensorType.BOOL if tensor.is_truth else tflite.TensorType.FLOAT32
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, tflite.TensorType.INT32 if is_index else number)
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    if signature is not None:
        tflite.TensorAddShapeSignature(builder, signature)
    return tflite.TensorEnd(builder)


def _operator(builder: flatbuffers.Builder, operator: _Operator, code_index: int) -> int:
    inputs, outputs = _ints(builder, operator.inputs), _ints(builder, operator.outputs)
    new_shape = _ints(builder, operator.new_shape) if operator.new_shape else None
    kind, options_name = _OPTIONS.get(operator.code, (tflite.BuiltinOptions.NONE, None))
    if options_name:
        getattr(tflite, f"{options_name}Start")(builder)
        if new_shape is not None:
            tflite.ReshapeOptionsAddNewShape(builder, new_shape)
        if operator.code == tflite.BuiltinOperator.GATHER:
            tflite.GatherOptionsAddAxis(builder, operator.axis)
        if operator.code == tflite.BuiltinOperator.SUM:
            tflite.ReducerOptionsAddKeepDims(builder, operator.keeps_axes)
        options = getattr(tflite, f"{options_name}End")(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code_index)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options_name:
        tflite.OperatorAddBuiltinOptionsType(builder, kind)
        tflite.OperatorAddBuiltinOptions(builder, options)
    return tflite.OperatorEnd(builder)


def _operator_code(builder: flatbuffers.Builder, code: int) -> int:
    """The code stands in the old one-byte field too, which readers older than 2020 look at."""
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
    tflite.OperatorCodeAddVersion(builder, 1)
    tflite.OperatorCodeAddBuiltinCode(builder, code)
    return tflite.OperatorCodeEnd(builder)


def _subgraph(builder, tensors: list[int], inputs: list[int], outputs: list[int], operators: list[int]) -> int:
    all_tensors, all_operators = _offsets(builder, tensors), _offsets(builder, operators)
    first, last = _ints(builder, inputs), _ints(builder, outputs)
    name = builder.CreateString("main")
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, all_tensors)
    tflite.SubGraphAddInputs(builder, first)
    tflite.SubGraphAddOutputs(builder, last)
    tflite.SubGraphAddOperators(builder, all_operators)
    tflite.SubGraphAddName(builder, name)
    return tflite.SubGraphEnd(builder)
