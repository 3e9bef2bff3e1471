# SPDX-License-Identifier: MIT
"""What ATen's layers become: affine maps, convolutions, pooling, norms, attention, recurrent cells. See torch_arrays.py."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Cell, Combine, LayerKind
from ttzo.exporter.operations.gathering import Gathering, Patches, Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.builder import Value
from ttzo.exporter.readers.nn import TTConv2d, TTEmbedding, torch
from ttzo.exporter.readers.row_layers import RowBuilder
from ttzo.exporter.readers.rows import NEVER, Refused, Rows, Weights
from ttzo.exporter.readers.torch_arrays import held

OPERATIONS: dict[str, Callable[..., Any]] = {}


def operation(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def _weights(value: Any, what: str = "weights") -> Weights:
    made = held(value)
    if isinstance(made, Rows):
        raise Refused(f"takes {what} that depend on the input", "give it parameters")
    return made


def _maybe(value: Any) -> Weights | None:
    return None if value is None else _weights(value)


# ---- affine maps ----------------------------------------------------------------------------------------------------


@operation("linear")
def linear(rows: RowBuilder, place: Any, x: Rows, weight: Any, bias: Any = None) -> Rows:
    return rows.linear(place.name, x, _weights(weight), _maybe(bias))


@operation("addmm")
def addmm(rows: RowBuilder, place: Any, x: Any, mat1: Any, mat2: Any, beta: float = 1, alpha: float = 1) -> Rows:
    if (beta, alpha) != (1, 1) or not isinstance(mat1, Rows):
        raise Refused("is no plain product of rows and a matrix", "use nn.Linear")
    return rows.linear(place.name, mat1, _weights(mat2).moved(np.transpose), _weights(x))


@operation("matmul", "mm", "bmm")
def matmul(rows: RowBuilder, place: Any, x: Any, **other: Any) -> Rows:
    (right,) = other.values()
    if isinstance(x, Rows) and isinstance(right, Rows):
        return rows.matrix_product(place.name, x, right)
    if isinstance(x, Rows):
        weight = _weights(right)
        if len(weight.shape) != 2:
            raise Refused(f"multiplies by an array {list(weight.shape)}", "give it a matrix")
        return rows.linear(place.name, x, weight.moved(np.transpose))
    weight, count = _weights(x), len(right.shape)
    if len(weight.shape) != 2 or count < 3:
        raise Refused("multiplies by rows from the right", "use nn.Linear")
    swap = [*range(count - 2), count - 1, count - 2]
    turned = rows.transposed(f"{place.name}.in", right, swap)
    return rows.transposed(f"{place.name}.out", rows.linear(place.name, turned, weight), swap)


@operation("embedding")
def embedding(rows: RowBuilder, place: Any, x: Any, indices: Any, padding_idx: int = -1, **_: Any) -> Rows:
    if not isinstance(indices, Rows):
        raise Refused("looks rows up in an array that changes", "slice it")
    return rows.embedding(place.path or place.name, indices, _weights(x), padding_idx)


@operation("layer")
def whole_layer(
    rows: RowBuilder, place: Any, x: Rows, parameters: Sequence[Weights], path: str, shape: list[int]
) -> Rows:
    """A layer of ttzo's own, or an EmbeddingBag."""
    module = place.model.module.get_submodule(path)
    if isinstance(module, torch.nn.EmbeddingBag):
        if module.mode not in Combine.__members__ or module.max_norm is not None or module.include_last_offset:
            raise Refused(f"has the mode {module.mode}, or changes its table", "take mean or sum")
        (table,) = parameters
        gather: Gathering | None = Tokens(x.value.numbers, Combine[module.mode], module.padding_idx)
        layer = Layer(path, LayerKind.dense, module.num_embeddings, module.embedding_dim, 0, False, gather=gather)
        return rows.layer(path, x, layer, shape, {"weight": table.moved(np.transpose)})
    gather = None
    if isinstance(module, TTConv2d):
        _, channels, height, width = x.shape
        gather = Patches(channels, height, width, module.kernel_size, module.stride, module.padding)
    if isinstance(module, TTEmbedding):
        gather = Tokens(x.value.numbers, Combine[module.mode], module.padding_idx)
    layer = dataclasses.replace(module.layer, gather=gather)
    names = [tensor.name.rsplit(".", 1)[1] for tensor in layer.tensors]
    by_name = {weights.source.rsplit(".", 1)[-1]: weights for weights in parameters}
    flat = x if gather else rows.reshaped(x, (-1, layer.in_features))
    return rows.layer(path or "model", flat, layer, shape, {name: by_name[name] for name in names})


# ---- convolutions and pooling ---------------------------------------------------------------------------------------


def _sizes(value: Any, dims: int) -> tuple[int, ...]:
    value = (value,) if isinstance(value, int) else tuple(value)
    return value * dims if len(value) == 1 else value


@operation("conv1d", "conv2d", "conv3d", "convolution")
def convolution(
    rows: RowBuilder, place: Any, x: Rows, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1, transposed: bool = False, **_: Any,
) -> Rows:  # fmt: skip
    weight = _weights(weight)
    dims = len(weight.shape) - 2
    if transposed:
        raise Refused("is a transposed convolution", "use a convolution, or repeat rows before it")
    dilation, stride = _sizes(dilation, dims), _sizes(stride, dims)
    if padding == "same":
        spans = [step * (size - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
        both = (*(span // 2 for span in spans), *(span - span // 2 for span in spans))
    else:
        both = _sizes(0 if padding == "valid" else padding, dims) * 2
    return rows.convolution(
        place.name, x, weight, _maybe(bias), stride=stride, padding=both, dilation=dilation, groups=groups
    )


def _pool(rows: RowBuilder, place: Any, x: Rows, kind: str, dims: int, given: dict[str, Any]) -> Rows:
    kernel = _sizes(given["kernel_size"], dims)
    if any(size != 1 for size in _sizes(given.get("dilation", 1), dims)):
        raise Refused("pools with dilation", "leave it out")
    if given.get("divisor_override") is not None:
        raise Refused("divides by a number of its own", "leave divisor_override out")
    return rows.pool(
        place.name, x, kind, kernel=kernel, stride=_sizes(given.get("stride") or kernel, dims),
        padding=_sizes(given.get("padding", 0), dims) * 2, ceil=given.get("ceil_mode", False),
        count_padding=given.get("count_include_pad", True),
    )  # fmt: skip


@operation("max_pool1d")
def max_pool1d(rows: RowBuilder, place: Any, x: Rows, **given: Any) -> Rows:
    return _pool(rows, place, x, "max", 1, given)


@operation("max_pool2d")
def max_pool2d(rows: RowBuilder, place: Any, x: Rows, **given: Any) -> Rows:
    return _pool(rows, place, x, "max", 2, given)


@operation("max_pool2d_with_indices", "max_pool1d_with_indices")
def max_pool_with_indices(rows: RowBuilder, place: Any, x: Rows, **given: Any) -> tuple[Rows]:
    return (_pool(rows, place, x, "max", len(x.shape) - 2, given),)


@operation("avg_pool1d")
def avg_pool1d(rows: RowBuilder, place: Any, x: Rows, **given: Any) -> Rows:
    return _pool(rows, place, x, "average", 1, given)


@operation("avg_pool2d")
def avg_pool2d(rows: RowBuilder, place: Any, x: Rows, **given: Any) -> Rows:
    return _pool(rows, place, x, "average", 2, given)


@operation("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def adaptive_average(rows: RowBuilder, place: Any, x: Rows, output_size: Any) -> Rows:
    return rows.adaptive_pool(place.name, x, "average", tuple(output_size))


@operation("adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_max(rows: RowBuilder, place: Any, x: Rows, output_size: Any) -> tuple[Rows]:
    return (rows.adaptive_pool(place.name, x, "max", tuple(output_size)),)


@operation("pad", "constant_pad_nd")
def pad(rows: RowBuilder, place: Any, x: Rows, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Rows:
    if mode != "constant" or value:
        raise Refused(f"pads by {mode} {value or 0}", "pad with zeros, or in the convolution")
    pairs = [tuple(pad[at : at + 2]) for at in range(0, len(pad), 2)]
    pairs += [(0, 0)] * (len(x.shape) - len(pairs))
    before, after = zip(*reversed(pairs), strict=True)
    return rows.padded(x, before, after)


# ---- norms ----------------------------------------------------------------------------------------------------------


@operation("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm")
def batch_norm(
    rows: RowBuilder, place: Any, x: Rows, weight: Any, bias: Any, running_mean: Any, running_var: Any,
    training: bool = False, eps: float = 1e-5, **_: Any,
) -> Rows:  # fmt: skip
    if training or running_mean is None:
        raise Refused("normalises by the batch at hand", "call model.eval() first, and keep running statistics")
    parts = [None if part is None else _weights(part).values for part in (running_mean, running_var, weight, bias)]
    mean, variance, factor, shift = parts
    place.note("batch norm is frozen as it is: a scale and a shift of each channel, which are not trained")
    return rows.batch_norm(x, place.path or place.name, mean, variance, factor, shift, eps)


@operation("layer_norm")
def layer_norm(
    rows: RowBuilder, place: Any, x: Rows, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None,
    eps: float = 1e-5, **_: Any,
) -> Rows:  # fmt: skip
    return rows.norm("layer", place.name, x, len(normalized_shape), _maybe(weight), _maybe(bias), eps)


@operation("rms_norm")
def rms_norm(
    rows: RowBuilder, place: Any, x: Rows, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Rows:
    epsilon = float(torch.finfo(torch.float32).eps) if eps is None else eps
    return rows.norm("rms", place.name, x, len(normalized_shape), _maybe(weight), None, epsilon)


# ---- attention ------------------------------------------------------------------------------------------------------


@operation("scaled_dot_product_attention")
def attention(
    rows: RowBuilder, place: Any, x: Rows, key: Rows, value: Rows, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Rows:  # fmt: skip
    if enable_gqa or dropout_p:
        raise Refused("shares keys between heads, or drops some", "leave enable_gqa and dropout out")
    mask = None
    if attn_mask is not None:
        if not isinstance(attn_mask, torch.Tensor):
            raise Refused("has a mask that changes", "a constant causal mask is supported")
        held_mask = attn_mask.numpy()
        mask = ~held_mask if held_mask.dtype == bool else held_mask <= NEVER
        if held_mask.dtype != bool and held_mask[~mask].any():
            raise Refused("adds numbers to its scores", "a constant causal mask is supported")
    factor = 1 / math.sqrt(x.shape[-1]) if scale is None else scale
    return rows.attention(place.name, x, key, value, mask, is_causal, factor)


# ---- recurrent cells ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Lasts:
    """What a cell ended with, before one is chosen: the last h of each layer and direction, [layers * directions, batch,
    hidden], or the one last step of an output of which nothing else is read."""

    parts: tuple[Rows, ...]  # each [batch, hidden]

    def chosen(self, operation: str, given: dict[str, Any]) -> Rows:
        if operation == "select" and (given["dim"] == 0 or len(self.parts) == 1):
            return self.parts[given["index"] if given["dim"] == 0 else -1]
        if operation == "squeeze" and given.get("dim") in (0, [0]) and len(self.parts) == 1:
            return self.parts[0]
        raise Refused("takes the last states of several layers together", "choose one first: h[-1]")


@operation("gru", "rnn_tanh")
def recurrent(
    rows: RowBuilder, place: Any, x: Rows, hx: Any, params: Sequence[Weights], has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool, **_: Any,
) -> tuple[Any, ...]:  # fmt: skip
    cell = Cell.gru if "gru" in place.node.target._schema.name else Cell.tanh
    return _recurrent(
        rows, place, x, cell, hx, params, has_biases, num_layers, bool(dropout and train), bidirectional, batch_first
    )


@operation("lstm")
def lstm(
    rows: RowBuilder, place: Any, x: Rows, hx: Any, params: Sequence[Weights], has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool, **_: Any,
) -> tuple[Any, ...]:  # fmt: skip
    made = _recurrent(
        rows,
        place,
        x,
        Cell.lstm,
        hx,
        params,
        has_biases,
        num_layers,
        bool(dropout and train),
        bidirectional,
        batch_first,
    )
    return (*made, None)  # what the cell remembers is not handed on


@operation("rnn_relu")
def rnn_relu(rows: RowBuilder, place: Any, **_: Any) -> Rows:
    raise Refused("is a recurrent cell with relu", "take tanh, GRU or LSTM")


def _recurrent(
    rows: RowBuilder, place: Any, x: Rows, cell: Cell, hx: Any, params: Sequence[Weights], biases: bool, layers: int,
    drops: bool, bidirectional: bool, batch_first: bool,
) -> tuple[Any, ...]:  # fmt: skip
    starts = hx if isinstance(hx, list | tuple) else [hx]
    if drops or any(not isinstance(start, torch.Tensor) or start.any() for start in starts):
        raise Refused("drops units, or does not start at zero", "leave dropout and the initial state out")
    at = 0 if batch_first else 1
    if len(x.shape) != 3 or x.axis != at or x.shape[at] != 1:
        raise Refused(f"takes an array {list(rows.full_shape(x))}", "rows, steps and features are wanted")
    directions, each = 1 + bidirectional, 4 if biases else 2
    if len(params) != layers * directions * each:
        raise Refused("projects its state", "leave proj_size out")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[:each]
    lasts: list[Rows] = []
    only_last = not bidirectional and _only_last_step(place.node, 1 - at)
    for layer in range(layers):
        made: list[Value] = []
        for direction in range(directions):
            first = (layer * directions + direction) * each
            parts = dict(zip(names, params[first : first + each], strict=True))
            name = (place.path or place.name) + (f".{layer}" if layers > 1 else "") + (".reverse" if direction else "")
            last = only_last and layer == layers - 1
            value = rows.recurrent(name, x, cell, parts, reverse=bool(direction), last=last)
            made.append(value)
            hidden = value.shape[-1]
            if last:
                end = rows.row_of(value, 0)
                return Lasts((end,)), Lasts((*lasts, end))
            at_end = 0 if direction else value.shape[0] - 1
            step = rows.build.slice(rows.inner_name(f"{name}.last"), value, 0, at_end, 1)
            lasts.append(rows.row_of(rows.build.reshaped(step, (hidden,)), 0))
        joined = made[0] if len(made) == 1 else rows.build.concat(rows.inner_name(f"{name}.joined"), made, 1)
        x = rows.row_of(joined, at)
    return x, Lasts(tuple(lasts))


def _only_last_step(node: torch.fx.Node, axis: int) -> bool:
    """Whether the output of all steps is read at its last step alone, or not at all."""
    for got in node.users:
        if got.args[1] != 0:
            continue
        for user in got.users:
            select = getattr(getattr(user.target, "_schema", None), "name", "") == "aten::select"
            if not select or user.args[1] not in (axis, axis - 3) or user.args[2] != -1:
                return False
    return True
