# SPDX-License-Identifier: MIT
"""What the operations of ATen that compute number by number, or only move numbers, become: of rows, and of weights alone.

Each takes the graph under construction, its place and its arguments by the names of ATen's schema, the first as `x`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.plan.pruning import pruned_where
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.readers.row_layers import RowBuilder
from ttzo.exporter.readers.rows import NEVER, Refused, Rows, Weights

OPERATIONS: dict[str, Callable[..., Any]] = {}
MOVES = {
    "t", "transpose", "permute", "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "expand",
    "select", "slice", "narrow", "index_select", "embedding", "chunk", "split", "split_with_sizes", "unbind", "movedim",
    "alias", "detach", "clone", "contiguous", "lift_fresh_copy", "numpy_T", "swapaxes", "expand_as", "view_as", "flip",
    "repeat", "tensor_split",
}  # fmt: skip
REMOVE = (
    "remove the parametrization or mask before you export: torch.nn.utils.parametrize.remove_parametrizations(layer, "
    '"weight"), torch.nn.utils.remove_weight_norm(layer), or torch.nn.utils.prune.remove(layer, "weight") (with '
    "`--keep-zeros` its zeros stay)"
)


def operation(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


# ---- without rows ---------------------------------------------------------------------------------------------------


def without_rows(place: Any, target: Any, args: Sequence[Any], named: dict[str, Any]) -> Any:
    """What an operation makes of weights and constants alone: torch runs it. Trained weights may be moved, no more."""
    leaves = torch.utils._pytree.tree_leaves((args, named))
    weights = [leaf for leaf in leaves if isinstance(leaf, Weights)]
    name = target._schema.name.split("::")[1] if hasattr(target, "_schema") else ""
    if not weights:
        return target(*args, **named)
    if len(weights) == 1 and name in MOVES:
        return _moved(weights[0], target, args, named)
    if len(weights) == 1 and name == "to" and weights[0].values.dtype == np.float32:
        return weights[0]
    masked = _masked(name, args)
    if masked is not None:
        return masked
    trained = next((each for each in weights if each.trained), None)
    if trained is not None:
        raise Refused(f"computes with {trained.source} alone, before any row comes in", REMOVE)
    replaced = torch.utils._pytree.tree_map(_tensor, (args, named))
    return target(*replaced[0], **replaced[1])


def _masked(name: str, args: Sequence[Any]) -> Weights | None:
    """A trained parameter times a constant of zeros and ones, as torch's pruning has it: it is pruned where that is 0."""
    weights = next((each for each in args if isinstance(each, Weights) and each.trained), None)
    mask = next((each for each in args if isinstance(each, torch.Tensor)), None)
    if name != "mul" or weights is None or mask is None or tuple(mask.shape) != weights.shape:
        return None
    kept = mask.numpy()
    if not np.isin(kept, (0, 1)).all():
        return None
    return dataclasses.replace(weights, values=pruned_where(weights.values, kept))


def _moved(weights: Weights, target: Any, args: Sequence[Any], named: dict[str, Any]) -> Any:
    def of(held: np.ndarray) -> Any:
        there = torch.from_numpy(np.ascontiguousarray(held))
        swap = torch.utils._pytree.tree_map(lambda each: there if each is weights else each, (args, named))
        return target(*swap[0], **swap[1])

    values, index = of(weights.values), of(weights.places)
    if isinstance(values, torch.Tensor):
        return Weights(values.contiguous().numpy(), weights.source, index.contiguous().numpy(), weights.trained)
    pairs = zip(values, index, strict=True)
    return [Weights(v.contiguous().numpy(), weights.source, i.contiguous().numpy(), weights.trained) for v, i in pairs]


def _tensor(leaf: Any) -> Any:
    return torch.from_numpy(leaf.values) if isinstance(leaf, Weights) else leaf


def held(value: Any) -> Rows | Weights:
    """A value as the row builder takes it; numbers and constants become frozen weights."""
    if isinstance(value, Rows | Weights):
        return value
    if isinstance(value, bool | int | float):
        return Weights(np.array(value, np.float32))
    if isinstance(value, torch.Tensor):
        return Weights(value.to(torch.float32).contiguous().numpy())
    raise Refused(f"takes {type(value).__name__}", "give it arrays")


# ---- sums and products ----------------------------------------------------------------------------------------------


def _times(rows: RowBuilder, place: Any, value: Any, factor: float) -> Rows | Weights:
    weights = held(value)
    if factor == 1:
        return weights
    if isinstance(weights, Rows):
        return rows.scaled(f"{place.name}.factor", weights, float(factor))
    if weights.trained:
        raise Refused(f"multiplies {weights.source} by {factor}", "multiply the array that it is added to")
    return Weights(weights.values * np.float32(factor))


@operation("add", "sub")
def add(rows: RowBuilder, place: Any, x: Any, other: Any, alpha: float = 1, **_: Any) -> Rows:
    minus = place.node.target._schema.name.startswith("aten::sub")
    mask = _causal(x, other) if not minus else None
    if mask is not None:
        return rows.masked(x, mask)
    return rows.sum(place.name, held(x), _times(rows, place, other, alpha), minus=minus)


def _causal(x: Any, other: Any) -> np.ndarray | None:
    """Where a constant that is added is -inf and elsewhere 0: a mask of scores."""
    if not isinstance(x, Rows) or not isinstance(other, torch.Tensor) or not other.dtype.is_floating_point:
        return None
    values = other.numpy()
    mask = values <= NEVER
    return mask if mask.any() and not values[~mask].any() else None


@operation("rsub")
def rsub(rows: RowBuilder, place: Any, x: Rows, other: Any, alpha: float = 1) -> Rows:
    return rows.sum(place.name, held(other), _times(rows, place, x, alpha), minus=True)


@operation("mul", "multiply")
def mul(rows: RowBuilder, place: Any, x: Any, other: Any) -> Rows:
    return rows.product(place.name, held(x), held(other))


@operation("div", "divide", "true_divide")
def div(rows: RowBuilder, place: Any, x: Any, other: Any, rounding_mode: str | None = None) -> Rows:
    if rounding_mode is not None or isinstance(x, Weights | torch.Tensor | float | int):
        raise Refused("rounds, or divides by numbers that change", "use a plain product")
    return rows.quotient(place.name, x, held(other))


@operation("neg")
def neg(rows: RowBuilder, place: Any, x: Rows) -> Rows:
    return rows.scaled(place.name, x, -1.0)


@operation("pow", "square")
def power(rows: RowBuilder, place: Any, x: Rows, exponent: float = 2) -> Rows:
    if not isinstance(x, Rows) or exponent not in (2, 3):
        raise Refused(f"raises to the power {exponent}", "2 and 3 are supported")
    square = rows.product(place.name, x, x)
    return square if exponent == 2 else rows.product(place.name, square, x)


@operation("masked_fill")
def masked_fill(rows: RowBuilder, place: Any, x: Rows, mask: Any, value: Any) -> Rows:
    number = float(value)
    if not isinstance(mask, torch.Tensor) or number > NEVER:
        raise Refused(f"puts {number} in the place of some numbers", "a causal mask of -inf is supported")
    return rows.masked(x, mask.numpy())


@operation("where")
def where(rows: RowBuilder, place: Any, x: Any, other: Any = None, **given: Any) -> Rows:
    kept = given.get("self", given.get("input"))
    chosen, filled = (kept, other) if isinstance(kept, Rows) else (other, kept)
    if not isinstance(x, torch.Tensor) or not isinstance(chosen, Rows) or isinstance(filled, Rows):
        raise Refused("chooses between arrays", "a causal mask of -inf is supported")
    if float(torch.as_tensor(filled).max()) > NEVER:
        raise Refused("puts other numbers in the place of some", "a causal mask of -inf is supported")
    mask = x.numpy().astype(bool)
    return rows.masked(chosen, ~mask if chosen is kept else mask)


# ---- activations ----------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "relu": Activation.relu,
    "tanh": Activation.tanh,
    "sin": Activation.sine,
    "relu6": Activation.relu6,
    "hardswish": Activation.hard_swish,
    "sigmoid": Activation.sigmoid,
    "silu": Activation.silu,
}


@operation(*ACTIVATIONS)
def activation(rows: RowBuilder, place: Any, x: Rows) -> Rows:
    name = place.node.target._schema.name.split("::")[1].rstrip("_")
    return rows.activation(place.name, x, ACTIVATIONS[name])


@operation("gelu")
def gelu(rows: RowBuilder, place: Any, x: Rows, approximate: str = "none") -> Rows:
    if approximate != "none":
        raise Refused("is GELU by way of tanh", "use nn.GELU() without `approximate`")
    return rows.activation(place.name, x, Activation.gelu)


@operation("leaky_relu")
def leaky_relu(rows: RowBuilder, place: Any, x: Rows, negative_slope: float = 0.01) -> Rows:
    return rows.activation(place.name, x, Activation.leaky_relu, negative_slope)


@operation("hardsigmoid")
def hardsigmoid(rows: RowBuilder, place: Any, x: Rows) -> Rows:
    return rows.hard_sigmoid(place.name, x)


@operation("hardtanh", "clamp", "clamp_min", "clip")
def clamp(rows: RowBuilder, place: Any, x: Rows, min: Any = None, max: Any = None, **limits: Any) -> Rows:
    low, high = limits.get("min_val", min), limits.get("max_val", max)
    return rows.clamped(place.name, x, low, high)


# ---- shapes ---------------------------------------------------------------------------------------------------------


@operation("alias", "detach", "clone", "contiguous", "dropout", "feature_dropout", "alpha_dropout", "lift_fresh_copy")
def same(rows: RowBuilder, place: Any, x: Rows, p: float = 0, train: bool = False, **_: Any) -> Rows:
    if train and p:
        raise Refused("is active", "call model.eval() first: a device trains without dropout")
    return x


@operation("to", "_to_copy", "type_as")
def to(rows: RowBuilder, place: Any, x: Rows, dtype: Any = None, **_: Any) -> Rows:
    whole = (torch.int32, torch.int64, torch.uint8, torch.int16)
    if dtype in (None, torch.float32) or dtype in whole and not rows.plain(x).array:
        return x
    raise Refused(f"turns numbers into {dtype}", "a device computes in float32")


@operation("view", "reshape", "_unsafe_view", "view_as", "reshape_as")
def view(rows: RowBuilder, place: Any, x: Rows, size: Any = None, shape: Any = None, other: Any = None) -> Rows:
    wanted = rows.full_shape(other) if isinstance(other, Rows) else (shape if size is None else size)
    return rows.reshaped(x, wanted)


@operation("flatten")
def flatten(rows: RowBuilder, place: Any, x: Rows, start_dim: int = 0, end_dim: int = -1) -> Rows:
    shape = rows.full_shape(x)
    first, last = start_dim % len(shape), end_dim % len(shape)
    return rows.reshaped(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@operation("unflatten")
def unflatten(rows: RowBuilder, place: Any, x: Rows, dim: int, sizes: Sequence[int]) -> Rows:
    shape = rows.full_shape(x)
    dim %= len(shape)
    rest = shape[dim] // max(1, math.prod(size for size in sizes if size != -1))
    return rows.reshaped(x, (*shape[:dim], *(rest if size == -1 else size for size in sizes), *shape[dim + 1 :]))


@operation("squeeze")
def squeeze(rows: RowBuilder, place: Any, x: Rows, dim: Any = None) -> Rows:
    shape = rows.full_shape(x)
    dims = range(len(shape)) if dim is None else ([dim] if isinstance(dim, int) else dim)
    gone = {axis % len(shape) for axis in dims if shape[axis] == 1}
    return rows.reshaped(x, [size for axis, size in enumerate(shape) if axis not in gone])


@operation("unsqueeze")
def unsqueeze(rows: RowBuilder, place: Any, x: Rows, dim: int) -> Rows:
    shape = list(rows.full_shape(x))
    shape.insert(dim % (len(shape) + 1), 1)
    return rows.reshaped(x, shape)


@operation("expand", "expand_as")
def expand(rows: RowBuilder, place: Any, x: Rows, size: Any = None, other: Any = None, **_: Any) -> Rows:
    shape = rows.full_shape(x)
    wanted = rows.full_shape(other) if isinstance(other, Rows) else tuple(size)
    wanted = tuple(
        mine if one == -1 else one for one, mine in zip(wanted, (1,) * (len(wanted) - len(shape)) + shape, strict=True)
    )
    if wanted != shape:
        raise Refused(
            f"repeats an array {list(shape)} to {list(wanted)}", "sums and products repeat arrays by themselves"
        )
    return x


@operation("permute")
def permute(rows: RowBuilder, place: Any, x: Rows, dims: Sequence[int]) -> Rows:
    return rows.transposed(place.name, x, dims)


@operation("transpose", "swapaxes", "t", "numpy_T", "mT")
def transpose(rows: RowBuilder, place: Any, x: Rows, dim0: int = -1, dim1: int = -2, **named: int) -> Rows:
    axes = list(range(len(x.shape)))
    first, second = named.get("axis0", dim0), named.get("axis1", dim1)
    axes[first], axes[second] = axes[second], axes[first]
    return rows.transposed(place.name, x, axes)


@operation("movedim")
def movedim(rows: RowBuilder, place: Any, x: Rows, source: Any, destination: Any) -> Rows:
    count = len(x.shape)
    sources, ends = ([each] if isinstance(each, int) else each for each in (source, destination))
    rest = iter(axis for axis in range(count) if axis not in {each % count for each in sources})
    placed = {end % count: begin % count for begin, end in zip(sources, ends, strict=True)}
    return rows.transposed(place.name, x, [placed[axis] if axis in placed else next(rest) for axis in range(count)])


@operation("select")
def select(rows: RowBuilder, place: Any, x: Any, dim: int, index: int) -> Rows:
    return x.select(dim, index) if not isinstance(x, Rows) else rows.selected(place.name, x, dim, index)


@operation("slice")
def slice_(
    rows: RowBuilder, place: Any, x: Rows, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Rows:
    size = rows.full_shape(x)[dim]
    taken = range(*slice(start, end, step).indices(size))
    return rows.sliced(place.name, x, dim, taken.start, len(taken), step)


@operation("narrow")
def narrow(rows: RowBuilder, place: Any, x: Rows, dim: int, start: int, length: int) -> Rows:
    return rows.sliced(place.name, x, dim, start, length)


@operation("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")
def split(rows: RowBuilder, place: Any, x: Rows, dim: int = 0, **given: Any) -> list[Rows]:
    size = rows.full_shape(x)[dim]
    if "chunks" in given:
        each = -(-size // given["chunks"])
        sizes = [min(each, size - at) for at in range(0, size, each)]
    else:
        each = given.get("split_size", given.get("split_sizes"))
        if each is None:
            raise Refused("splits at indices", "use split or chunk")
        sizes = [min(each, size - at) for at in range(0, size, each)] if isinstance(each, int) else list(each)
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    pairs = enumerate(zip(starts, sizes, strict=True))
    return [rows.sliced(f"{place.name}.{part}", x, dim, first, count) for part, (first, count) in pairs]


@operation("unbind")
def unbind(rows: RowBuilder, place: Any, x: Rows, dim: int = 0) -> list[Rows]:
    return [rows.selected(f"{place.name}.{index}", x, dim, index) for index in range(rows.full_shape(x)[dim])]


@operation("cat", "concat", "concatenate")
def cat(rows: RowBuilder, place: Any, x: Sequence[Any], dim: int = 0, axis: int | None = None) -> Rows:
    return rows.concat(place.name, [held(part) for part in x], dim if axis is None else axis)


@operation("stack")
def stack(rows: RowBuilder, place: Any, x: Sequence[Any], dim: int = 0) -> Rows:
    wide = []
    for part in x:
        part = held(part)
        at = dim % (len(part.shape) + 1)
        if isinstance(part, Rows):
            wide.append(unsqueeze(rows, place, part, at))
        else:
            wide.append(part.moved(functools.partial(np.expand_dims, axis=at)))
    return rows.concat(place.name, wide, dim)


# ---- along axes -----------------------------------------------------------------------------------------------------


def _axes(x: Rows, dim: Any) -> list[int]:
    if dim is None or dim == []:
        raise Refused("takes all axes together", "name the axes, without that of the rows")
    return [dim] if isinstance(dim, int) else list(dim)


@operation("mean")
def mean(rows: RowBuilder, place: Any, x: Rows, dim: Any = None, keepdim: bool = False, **_: Any) -> Rows:
    return rows.reduced(place.name, x, "average", _axes(x, dim), keep=keepdim)


@operation("sum")
def total(rows: RowBuilder, place: Any, x: Rows, dim: Any = None, keepdim: bool = False, **_: Any) -> Rows:
    axes = _axes(x, dim)
    count = math.prod(x.shape[axis] for axis in axes)
    return rows.scaled(f"{place.name}.count", mean(rows, place, x, axes, keepdim), float(count))


@operation("amax")
def amax(rows: RowBuilder, place: Any, x: Rows, dim: Any = None, keepdim: bool = False) -> Rows:
    return rows.reduced(place.name, x, "max", _axes(x, dim), keep=keepdim)


@operation("max")
def largest(rows: RowBuilder, place: Any, x: Rows, dim: Any = None, keepdim: bool = False, **_: Any) -> tuple[Rows]:
    return (amax(rows, place, x, dim, keepdim),)


@operation("softmax", "_softmax")
def softmax(rows: RowBuilder, place: Any, x: Rows, dim: int, **_: Any) -> Rows:
    return rows.soft_max(place.name, x, dim)
