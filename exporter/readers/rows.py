# SPDX-License-Identifier: MIT
"""A graph from a model that computes with whole batches: what the readers of torch and ONNX share.

A framework's array holds a batch of rows along one of its axes, and models move that axis about: [steps, batch, features],
or [batch * heads, steps, features]. A plan's arrays hold one row. `Rows` is one row's array with the axis that the batch
lies on; `Weights` is an array that no input changes. `RowBuilder` has the frameworks' operations on both, puts them on a
plan's `Builder` (arrays here, layers in row_layers.py), and refuses what mixes the rows of a batch. Its errors are `Refused`; readers add the node's name.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.plan.builder import Builder, Value
from ttzo.exporter.plan.pruning import unpruned

LEAVE_ROWS = "keep the first axis for the rows: a device computes one row at a time"
NEVER = -1e4  # a score of this or less counts as masked: exp of it is 0 beside any other


class Refused(TtzoError):
    """What a plan cannot hold: a reason and a next step, without the place."""


@dataclass(frozen=True)
class Rows:
    """`value` has the model's axes; of `axis` it holds what belongs to one row: `outer` entries before the batch, and some
    after it. `axis` is None in a model of one fixed row. `causal`: entries above the diagonal are masked, for a soft-max.
    `border`: zeros before and after the last axes, as `padding` of a convolution, which takes them."""

    value: Value
    axis: int | None
    outer: int = 1
    causal: bool = False
    border: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape


@dataclass(frozen=True, eq=False)
class Weights:
    """`index` says which numbers of the parameter `source` these are; without one they are nobody's. `trained`: they go
    into theta."""

    values: np.ndarray
    source: str = ""
    index: np.ndarray | None = None
    trained: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def key(self) -> tuple[str, bytes]:
        held = self.values if self.index is None else self.index
        return self.source, held.tobytes()

    @property
    def places(self) -> np.ndarray:
        """`index` of a parameter's numbers. Raises `Refused` for nobody's."""
        if self.index is None:
            raise Refused("takes a constant where a parameter is wanted", "give it a parameter")
        return self.index

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> "Weights":
        """The same numbers in other places."""
        index = None if self.index is None else move(self.index)
        return Weights(np.ascontiguousarray(move(self.values)), self.source, index, self.trained)

    def owner(self, part: str, otherwise: str) -> str:
        """The name of the node whose parameter `part` this is: "fc" of "fc.weight"."""
        before, _, last = self.source.rpartition(".")
        named = last in (part, f"{part}_orig")  # so torch calls a parameter under a mask
        return (before if named and before else self.source) or otherwise


def parameter(source: str, values: np.ndarray, trained: bool = True) -> Weights:
    values = unpruned(values) if trained else values
    return Weights(values, source, np.arange(values.size).reshape(values.shape), trained)


class ArrayBuilder:
    """A graph under construction; a row of the input has `shape`, the model was traced with `batch` rows."""

    def __init__(self, shape: Sequence[int], batch: int, reserved: Sequence[str] = (), *, copies: bool = False):
        """`copies`: a parameter that is used in two ways becomes two, which is noted."""
        self.notes: list[str] = []
        self._copies = copies
        self.build, self.batch = Builder(shape), batch
        self.input = Rows(Value(0, (1, *shape)), 0 if batch > 1 else None)
        self.sources: dict[str, Weights] = {}  # of each tensor, by its name in the plan
        self._names: set[str] = set()
        self._reserved = set(reserved)
        self._owners: dict[Any, str] = {}
        self._taken: dict[str, tuple[set[int], str]] = {}

    def full_shape(self, x: Rows) -> tuple[int, ...]:
        """The shape in the model, with its batch."""
        return tuple(size * (self.batch if axis == x.axis else 1) for axis, size in enumerate(x.shape))

    # ---- names and owners

    def free_name(self, name: str) -> str:
        made, count = name, 1
        while made in self._names:
            count += 1
            made = f"{name}.{count}"
        self._names.add(made)
        return made

    def inner_name(self, name: str) -> str:
        """A name for a node without parameters: none of a module."""
        return self.free_name(self._unreserved(name))

    def _unreserved(self, name: str) -> str:
        return f"{name}.node" if name in self._reserved else name

    def _owned(self, kind: str, name: str, **parts: Weights | None) -> tuple[str, dict[str, Any]]:
        """A node's name, and whether its parameters are trained, frozen or those of an earlier node."""
        present = {part: weights for part, weights in parts.items() if weights is not None}
        for weights in present.values():
            if weights.values.dtype != np.float32:
                raise Refused(f"has {weights.values.dtype} parameters", "make them float32: a device computes so")
        if len({weights.trained for weights in present.values()}) > 1:
            one = next(weights.source for weights in present.values() if not weights.trained)
            raise Refused(
                f"trains some of its parameters, {one or 'a constant'} is frozen", "freeze all or none of a node"
            )
        name = self.free_name(name)
        key = (kind, *((part, weights.key) for part, weights in present.items()))
        self.sources |= {f"{name}.{part}": weights for part, weights in present.items()}
        if key in self._owners:
            return name, {"shares": self._owners[key]}
        self._owners[key] = name
        trained = all(weights.trained for weights in present.values())
        for weights in present.values() if trained else ():
            self._take(name, weights)
        return name, {"frozen": not trained}

    def _take(self, name: str, weights: Weights) -> None:
        taken, by = self._taken.setdefault(weights.source, (set(), name))
        index = set(weights.places.reshape(-1).tolist())
        if len(index) < weights.places.size:
            raise Refused(
                f"uses the same numbers of {weights.source} several times", "give each place its own parameters"
            )
        if taken & index and self._copies:
            self.notes.append(f"{by} and {name} use {weights.source} in different ways: each trains its own")
        elif taken & index:
            hint = (
                "a parameter may be used again in the same shape and operation; otherwise give each its own, as in "
                "out.weight = torch.nn.Parameter(table.weight.detach().clone())"
            )
            raise Refused(f"uses {weights.source} in another way than {by} does", hint)
        taken |= index

    # ---- shapes

    def plain(self, x: Rows) -> Value:
        if x.causal:
            raise Refused("takes masked scores", "a causal mask is for the soft-max that follows it")
        if x.border:
            raise Refused("takes a padded array", "only a convolution takes what was padded with zeros before it")
        return x.value

    def row_of(self, value: Value, axis: int) -> Rows:
        """An array of one row whose batch stands at `axis`."""
        shape = (*value.shape[:axis], 1, *value.shape[axis:])
        return Rows(self.build.reshaped(value, shape), None if self.input.axis is None else axis)

    def padded(self, x: Rows, before: Sequence[int], after: Sequence[int]) -> Rows:
        """With zeros around the axes; a convolution that follows takes them as its own."""
        if not any((*before, *after)):
            return x
        dims = len(x.shape) - 2
        if min(*before, *after) < 0 or any((*before[:2], *after[:2])) or dims not in (1, 2):
            raise Refused("pads rows or channels, or cuts some off", "pad the last axes of an image with zeros")
        self.plain(x)
        return dataclasses.replace(x, border=(*before[2:], *after[2:]))

    def along(self, x: Rows, axis: int) -> int:
        """The axis, counted from the front; never that of the batch."""
        axis %= len(x.shape)
        if axis == x.axis:
            raise Refused("works across the rows of a batch", LEAVE_ROWS)
        return axis

    def reshaped(self, x: Rows, shape: Sequence[int]) -> Rows:
        """`shape` is that in the model, with its batch; one entry may be -1."""
        value, numbers = self.plain(x), math.prod(self.full_shape(x))
        known = math.prod(size for size in shape if size != -1)
        shape = tuple(numbers // max(known, 1) if size == -1 else size for size in shape)
        if math.prod(shape) != numbers:
            raise Refused(f"makes {list(shape)} of {list(self.full_shape(x))}", LEAVE_ROWS)
        if x.axis is None:
            return Rows(self.build.reshaped(value, shape), None)
        prefix, before = math.prod(x.shape[: x.axis]) * x.outer, 1
        for axis, size in enumerate(shape):
            if before <= prefix < before * size:
                outer = prefix // before
                if prefix % before or size % (outer * self.batch):
                    break
                row = (*shape[:axis], size // self.batch, *shape[axis + 1 :])
                return Rows(self.build.reshaped(value, row), axis, outer)
            before *= size
        raise Refused("mixes the numbers of different rows", LEAVE_ROWS)

    def transposed(self, name: str, x: Rows, axes: Sequence[int]) -> Rows:
        axes = [axis % len(x.shape) for axis in axes]
        at = None if x.axis is None else axes.index(x.axis)
        if axes == list(range(len(axes))):
            return x
        return Rows(self.build.transpose(self.inner_name(name), self.plain(x), axes), at, x.outer)

    def sliced(self, name: str, x: Rows, axis: int, first: int, count: int, step: int = 1) -> Rows:
        axis %= len(x.shape)
        if (first, step) == (0, 1) and count >= self.full_shape(x)[axis]:
            return x
        axis = self.along(x, axis)
        if not 0 <= first < x.shape[axis] or step < 1 or count < 1:
            raise Refused(f"takes {count} entries from {first} in steps of {step}", "take entries in their order")
        return Rows(self.build.slice(self.inner_name(name), self.plain(x), axis, first, count, step), x.axis, x.outer)

    def without_axis(self, x: Rows, axis: int) -> Rows:
        shape = list(self.full_shape(x))
        del shape[axis % len(shape)]
        return self.reshaped(x, shape)

    def selected(self, name: str, x: Rows, axis: int, index: int) -> Rows:
        axis = self.along(x, axis)
        return self.without_axis(self.sliced(name, x, axis, index % x.shape[axis], 1), axis)

    def concat(self, name: str, parts: Sequence[Rows | Weights], axis: int) -> Rows:
        like = next(part for part in parts if isinstance(part, Rows))
        axis = self.along(like, axis)
        made = [part if isinstance(part, Rows) else self.array(name, part, like) for part in parts]
        if any((part.axis, part.outer) != (like.axis, like.outer) for part in made):
            raise Refused("joins arrays whose rows lie along different axes", LEAVE_ROWS)
        value = self.build.concat(self.inner_name(name), [self.plain(part) for part in made], axis)
        return Rows(value, like.axis, like.outer)

    # ---- arrays and weights

    def array(self, name: str, weights: Weights, like: Rows) -> Rows:
        """Weights as an array beside `like`, the same for every row."""
        row = self.of_one_row(weights, like)
        name, owner = self._owned("array", row.owner("array", name), array=row.moved(lambda a: a.reshape(-1)))
        value = self.build.learnt_array(name, row.values, **owner)
        return Rows(value, like.axis, like.outer)

    def of_one_row(self, weights: Weights, x: Rows) -> Weights:
        """Weights with the axes of `x`; where they have an entry for each row of the batch, all have to be the same."""
        extra = len(weights.shape) - len(x.shape)
        if extra > 0 and any(size != 1 for size in weights.shape[:extra]):
            raise Refused(f"repeats an array {list(self.full_shape(x))} along new axes", LEAVE_ROWS)
        shape = weights.shape[extra:] if extra > 0 else (1,) * -extra + weights.shape
        made = weights.moved(lambda a: a.reshape(shape))
        if x.axis is None or shape[x.axis] == 1:
            return made
        if shape[x.axis] % (x.outer * self.batch):
            raise Refused(f"has {shape[x.axis]} weights along the rows of a batch", LEAVE_ROWS)
        split = (*shape[: x.axis], x.outer, self.batch, -1, *shape[x.axis + 1 :])
        row = (*shape[: x.axis], shape[x.axis] // self.batch, *shape[x.axis + 1 :])
        repeats = x.axis + 1
        blocks = made.moved(lambda a: np.moveaxis(a.reshape(split), repeats, 0))
        if any((held != held[:1]).any() for held in (blocks.values, blocks.index) if held is not None):
            raise Refused("has weights that differ from row to row of a batch", LEAVE_ROWS)
        return blocks.moved(lambda a: a[0].reshape(row))

    def sum(self, name: str, a: Rows | Weights, b: Rows | Weights, *, minus: bool = False) -> Rows:
        x, other = _rows_first(a, b)
        if minus and x is not a:
            x, minus = self.scaled(name, x, -1.0), False
        if isinstance(other, Rows):
            return self._joined("add", name, x, other, minus)
        bias = other.moved(np.negative) if minus and not other.trained else other
        return self._with_weights(name, x, bias, "bias", minus)

    def product(self, name: str, a: Rows | Weights, b: Rows | Weights) -> Rows:
        x, other = _rows_first(a, b)
        if isinstance(other, Rows):
            return self._joined("multiply", name, x, other)
        return self._with_weights(name, x, other, "weight")

    def quotient(self, name: str, a: Rows | Weights, b: Rows | Weights) -> Rows:
        if isinstance(b, Rows) or b.trained:
            raise Refused("divides by numbers that change", "multiply instead, or leave the division to the host")
        with np.errstate(divide="ignore"):
            inverse = (1.0 / b.values.astype(np.float64)).astype(np.float32)
        return self.product(name, a, Weights(inverse))

    def scaled(self, name: str, x: Rows, weight: float, bias: float = 0.0) -> Rows:
        """weight x + bias, frozen."""
        parts = (
            None if weight == 1 else np.full(1, weight, np.float32),
            None if bias == 0 else np.full(1, bias, np.float32),
        )
        if parts == (None, None):
            return x
        value = self.build.scale(self.inner_name(name), self.plain(x), *parts, frozen=True)
        return Rows(value, x.axis, x.outer)

    def _joined(self, kind: str, name: str, a: Rows, b: Rows, minus: bool = False) -> Rows:
        from_end = [None if x.axis is None else (len(x.shape) - x.axis, x.outer, x.shape[x.axis]) for x in (a, b)]
        if from_end[0] != from_end[1]:
            raise Refused("joins arrays whose rows lie along different axes", LEAVE_ROWS)
        like = max(a, b, key=lambda x: (x.value.numbers, len(x.shape)))
        if minus and like is not a:
            a, b, minus = self.scaled(f"{name}.negative", b, -1.0), a, False
        options = {"minus": minus} if kind == "add" else {}
        value = getattr(self.build, kind)(self.inner_name(name), self.plain(a), self.plain(b), **options)
        return Rows(value, like.axis, like.outer)

    def _with_weights(self, name: str, x: Rows, weights: Weights, part: str, minus: bool = False) -> Rows:
        """A sum or product with an array that no input changes: one number, one for each entry of an axis, or a whole
        array."""
        row = self.of_one_row(weights, x)
        wide = [axis for axis, size in enumerate(row.shape) if size != 1]
        if any(row.shape[axis] != x.shape[axis] for axis in wide):
            raise Refused(
                f"joins arrays {list(self.full_shape(x))} and {list(weights.shape)}", "give them the same sizes"
            )
        if minus and row.trained:
            x = self.scaled(f"{name}.negative", x, -1.0)
        if len(wide) > 1:
            kind = "multiply" if part == "weight" else "add"
            made = self._joined(kind, name, x, self.array(f"{name}.array", row, x))
        elif not row.trained and not wide and row.values.size == 1 and row.values == (part == "weight"):
            made = x
        else:
            row = row.moved(lambda a: a.reshape(-1))
            name, owner = self._owned(f"scale {part}", row.owner(part, self._unreserved(name)), **{part: row})
            value = self.build.scale(name, self.plain(x), **{part: row.values}, axis=wide[0] if wide else 0, **owner)
            made = Rows(value, x.axis, x.outer)
        return self.scaled(f"{name}.sign", made, -1.0) if minus and row.trained else made


def _rows_first(a: Rows | Weights, b: Rows | Weights) -> tuple[Rows, Rows | Weights]:
    if isinstance(a, Rows):
        return a, b
    if isinstance(b, Rows):
        return b, a
    raise Refused("computes with constants alone", "compute them before the model is exported")
