# SPDX-License-Identifier: MIT
"""A TFLite file under construction, operator by operator, and its bytes as a flatbuffer."""

import math
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
BUFFER_ALIGNMENT = 16  # bytes, from the beginning of the file: kernels read the weights where they lie
NO_TENSOR = -1  # an optional input that is not given
LAST_SHORT_CODE = 126  # of operators that the old one-byte field can name; it holds 127 for the others


# ---- the graph, operator by operator --------------------------------------------------------------------------------


@dataclass
class FileTensor:
    """`data` is None for what is computed; its first axis is then the batch, 1 as written and free at run time."""

    name: str
    shape: tuple[int, ...]
    data: np.ndarray | None = None
    is_truth: bool = False


@dataclass
class Operator:
    """`options`: fields of the operator's options in the schema, as in {"Axis": 1}."""

    code: int
    inputs: list[int]
    outputs: list[int]
    new_shape: tuple[int, ...] = ()  # of RESHAPE
    options: dict[str, float] = field(default_factory=dict)


@dataclass
class FileGraph:
    """Tensors and operators in the order of execution. Methods that compute return the number of the new tensor."""

    tensors: list[FileTensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def activation(self, name: str, shape: tuple[int, ...], repeats: int = 1) -> int:
        """A tensor of `repeats` pieces of `shape` for each sample."""
        self.tensors.append(FileTensor(name, (repeats, *shape)))
        return len(self.tensors) - 1

    def constant(self, name: str, data: np.ndarray) -> int:
        """A constant; the one of that name where it holds the same numbers, as of nodes that share their parameters."""
        for number, tensor in enumerate(self.tensors):
            if tensor.name == name and tensor.data is not None and np.array_equal(tensor.data, data):
                return number
        self.tensors.append(FileTensor(name, data.shape, np.ascontiguousarray(data)))
        return len(self.tensors) - 1

    def integers(self, numbers: tuple[int, ...]) -> int:
        """A constant of int32 numbers, which equal ones share."""
        return self.constant(str(list(numbers)), np.array(numbers, np.int32))

    def reshape(self, x: int, shape: tuple[int, ...], name: str) -> int:
        """`x` as pieces of `shape`, as many as there are; `x` itself where it has that shape."""
        return x if self.tensors[x].shape[1:] == shape else self.pieces(x, shape, name)

    def pieces(self, x: int, shape: tuple[int, ...], name: str) -> int:
        """The same, always by an operator."""
        out = self.activation(name, shape, math.prod(self.tensors[x].shape) // math.prod(shape))
        new_shape = (-1, *shape)
        self.operators.append(Operator(tflite.BuiltinOperator.RESHAPE, [x, self.integers(new_shape)], [out], new_shape))
        return out

    def transpose(self, x: int, axes: tuple[int, ...], name: str) -> int:
        """Axis i of a sample of the output is axis `axes[i]` of a sample of `x`."""
        shape = self.tensors[x].shape
        made = tuple(shape[1 + axis] for axis in axes)
        order = self.integers((0, *(1 + axis for axis in axes)))
        return self.compute(tflite.BuiltinOperator.TRANSPOSE, [x, order], (shape[0], *made), name)

    def swap(self, x: int, a: int, b: int, name: str) -> int:
        """`x`, read as [pieces, a, b], as [pieces, b, a]; `x` itself where the order of its numbers stays."""
        if 1 in (a, b):
            return x
        return self.transpose(self.reshape(x, (a, b), f"{name}.pieces"), (1, 0), name)

    def fully_connected(self, x: int, weight: int, bias: int, name: str) -> int:
        """`x`, read as [pieces, inner], times the transpose of `weight` [rows, inner], plus `bias` [rows] or nothing.

        The operator itself takes all axes but the last as one, so `x` is reshaped only where that is not `inner`.
        """
        rows, inner = self.tensors[weight].shape
        if self.tensors[x].shape[-1] != inner:
            x = self.reshape(x, (inner,), f"{name}.in")
        out = self.activation(name, (rows,), math.prod(self.tensors[x].shape) // inner)
        self.operators.append(Operator(tflite.BuiltinOperator.FULLY_CONNECTED, [x, weight, bias], [out]))
        return out

    def compute(self, code: int, inputs: list[int], shape: tuple[int, ...], name: str, **options: float) -> int:
        """An operator whose output has `shape`, one sample's."""
        out = self.activation(name, shape[1:], shape[0])
        self.operators.append(Operator(code, inputs, [out], options=options))
        return out

    def total(self, x: int, shape: tuple[int, ...], name: str, keeps_axes: bool = False) -> int:
        """`x` summed over its second axis."""
        return self.compute(tflite.BuiltinOperator.SUM, [x, self.integers((1,))], shape, name, KeepDims=keeps_axes)

    def elementwise(self, code: int, inputs: list[int], name: str, **options: float) -> int:
        """An operator whose output has the shape of its first input."""
        return self.compute(code, inputs, self.tensors[inputs[0]].shape, name, **options)


# ---- the file -------------------------------------------------------------------------------------------------------

_OPTIONS = {
    getattr(tflite.BuiltinOperator, operator): f"{name}Options"
    for operator, name in {
        "FULLY_CONNECTED": "FullyConnected",
        "RESHAPE": "Reshape",
        "TRANSPOSE": "Transpose",
        "ADD": "Add",
        "SUB": "Sub",
        "MUL": "Mul",
        "DIV": "Div",
        "PAD": "Pad",
        "PADV2": "PadV2",
        "GATHER": "Gather",
        "EQUAL": "Equal",
        "CAST": "Cast",
        "SUM": "Reducer",
        "MEAN": "Reducer",
        "REDUCE_MAX": "Reducer",
        "MAXIMUM": "MaximumMinimum",
        "LEAKY_RELU": "LeakyRelu",
        "HARD_SWISH": "HardSwish",
        "GELU": "Gelu",
        "SOFTMAX": "Softmax",
        "CONCATENATION": "Concatenation",
        "STRIDED_SLICE": "StridedSlice",
        "BATCH_MATMUL": "BatchMatMul",
        "CONV_2D": "Conv2D",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
        "MAX_POOL_2D": "Pool2D",
        "AVERAGE_POOL_2D": "Pool2D",
    }.items()
}


def serialize(graph: FileGraph, inputs: list[int], outputs: list[int]) -> bytes:
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


def _tensor(builder: flatbuffers.Builder, tensor: FileTensor, buffer: int) -> int:
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


def _operator(builder: flatbuffers.Builder, operator: Operator, code_index: int) -> int:
    inputs, outputs = _ints(builder, operator.inputs), _ints(builder, operator.outputs)
    new_shape = _ints(builder, operator.new_shape) if operator.new_shape else None
    options_name = _OPTIONS.get(operator.code)
    options = None
    if options_name:
        getattr(tflite, f"{options_name}Start")(builder)
        if new_shape is not None:
            tflite.ReshapeOptionsAddNewShape(builder, new_shape)
        for name, value in operator.options.items():
            getattr(tflite, f"{options_name}Add{name}")(builder, value)
        options = getattr(tflite, f"{options_name}End")(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code_index)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options_name:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, options_name))
        tflite.OperatorAddBuiltinOptions(builder, options)
    return tflite.OperatorEnd(builder)


def _operator_code(builder: flatbuffers.Builder, code: int) -> int:
    """The code stands in the old one-byte field too, where it fits: readers older than 2020 look at that one."""
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, LAST_SHORT_CODE + 1))
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
