# SPDX-License-Identifier: MIT
"""How readers build a graph: values with shapes in, operations on them, a plan out.

    build = Builder((1, 28, 28))
    x = build.convolution("conv", build.input, weight, bias, padding=(1, 1))
    x = build.activation("relu", x, Activation.relu)
    x = build.max_pool("pool", x, (2, 2), (2, 2))
    x = build.linear("out", build.reshaped(x, (-1,)), weight, bias)
    plan = build.plan(x, loss=Loss.cross_entropy, batch=32)

Shapes are those of one row, without the batch. Every method that adds a node takes its name, which names its tensors too,
and returns the value that it makes. Parameters are given as arrays; `frozen=True` makes them constants, `shares=NAME` takes
those of an earlier node with parameters of the same shapes. Errors are `PlanError`s that name the node.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Activation, Cell, Combine, LayerKind
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.broadcast import Add, Multiply
from ttzo.exporter.operations.concat import Concat
from ttzo.exporter.operations.gathering import Patches, Places, Tokens
from ttzo.exporter.operations.global_pooling import GlobalMax, GlobalMean
from ttzo.exporter.operations.layer import LAYER_ACTIVATIONS, Layer, PlanError
from ttzo.exporter.operations.learnt_array import LearntArray
from ttzo.exporter.operations.matrix_product import MatrixProduct
from ttzo.exporter.operations.norm import LayerNorm, RmsNorm
from ttzo.exporter.operations.operation import Operation
from ttzo.exporter.operations.pooling import AveragePool, MaxPool
from ttzo.exporter.operations.recurrent import GATES, Recurrent
from ttzo.exporter.operations.scale import Scale
from ttzo.exporter.operations.slice import Slice
from ttzo.exporter.operations.soft_max import SoftMax
from ttzo.exporter.operations.transpose import Transpose
from ttzo.exporter.plan import constants
from ttzo.exporter.plan.graph import Array, Graph, Node, holds_matrix
from ttzo.exporter.plan.plan import Plan


@dataclasses.dataclass(frozen=True)
class Value:
    """An array of the graph under construction, as it is looked at here: two values of other shapes may be one array."""

    array: int
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class _Draft:
    node: Node
    values: tuple[np.ndarray, ...]
    shares: str


class Builder:
    """A graph under construction. `shape` is that of one input row."""

    def __init__(self, shape: Sequence[int]):
        self.input = Value(0, tuple(shape))
        self._shapes = [tuple(shape)]
        self._drafts: list[_Draft] = []

    # ---- any operation

    def node(
        self,
        name: str,
        operation: Operation,
        inputs: Sequence[Value],
        shape: Sequence[int],
        values: Sequence[np.ndarray] = (),
        *,
        frozen: bool = False,
        shares: str = "",
    ) -> Value:
        """Adds a node whose output has `shape`. `values`: its parameters in the order of `operation.parameter_shapes`."""
        if operation.inconsistency:
            raise PlanError(f"node {name}: {operation.inconsistency}", "change the model there")
        if any(draft.node.name == name for draft in self._drafts):
            raise PlanError(f"there are two nodes {name!r}", "give each its own name")
        shapes = list(operation.parameter_shapes.values())
        values = tuple(np.asarray(value) for value in values)
        if not shares and [value.shape for value in values] != shapes:
            found = [list(value.shape) for value in values]
            raise PlanError(f"node {name}: parameters of shapes {found}, wanted are {list(map(list, shapes))}", "")
        if any(value.dtype != np.float32 for value in values):
            raise PlanError(
                f"node {name}: its parameters are {values[0].dtype}", "make them float32: a device computes so"
            )
        node = Node(name, operation, tuple(value.array for value in inputs), len(self._shapes), frozen=frozen)
        self._drafts.append(_Draft(node, () if shares else values, shares))
        self._shapes.append(tuple(shape))
        return Value(node.output, tuple(shape))

    def reshaped(self, x: Value, shape: Sequence[int]) -> Value:
        """The same array looked at in another shape; one entry may be -1. Nothing moves."""
        known = math.prod(size for size in shape if size != -1)
        made = tuple(x.numbers // known if size == -1 else size for size in shape)
        if math.prod(made) != x.numbers:
            raise PlanError(f"{list(x.shape)} cannot be looked at as {list(shape)}", "keep the count of numbers")
        return Value(x.array, made)

    # ---- layers

    def layer(
        self, name: str, x: Value, layer: Layer, shape: Sequence[int], values: Sequence[np.ndarray], **owner: Any
    ) -> Value:
        """A layer as it stands, for instance a tensor train; its name and offset are set here."""
        return self.node(name, Affine(dataclasses.replace(layer, name=name)), [x], shape, values, **owner)

    def linear(self, name: str, x: Value, weight: np.ndarray, bias: np.ndarray | None = None, **owner: Any) -> Value:
        """x [..., in] times weight [out, in] transposed, plus bias [out]: for each place where there is more than one axis."""
        n_out, n_in = weight.shape
        if x.shape[-1] != n_in:
            raise PlanError(f"node {name} takes {n_in} numbers, there are {x.shape[-1]}", "change the model there")
        count = x.numbers // n_in
        gather = Places(count, n_in) if count > 1 else None
        layer = Layer(name, LayerKind.dense, n_in, n_out, 0, bias is not None, gather=gather)
        return self.layer(name, x, layer, (*x.shape[:-1], n_out), _present(weight, bias), **owner)

    def convolution(
        self,
        name: str,
        x: Value,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, ...] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        **owner: Any,
    ) -> Value:
        """x [channels, rows, columns], weight [out, channels / groups, kernel rows, kernel columns]. `padding`: above and
        left, then below and right where they are others. In one dimension, rows and kernel rows are 1."""
        n_out, _, *kernel = weight.shape
        above, left, below, right = _four(padding)
        patches = Patches(
            *_image(name, x), _two(kernel), _two(stride), (above, left), (below, right), _two(dilation), groups
        )
        layer = Layer(name, LayerKind.dense, patches.in_features, n_out, 0, bias is not None, gather=patches)
        values = _present(weight.reshape(n_out, -1), bias)
        return self.layer(name, x, layer, (n_out, *patches.out_image), values, **owner)

    def embedding(
        self,
        name: str,
        x: Value,
        table: np.ndarray,
        *,
        combine: Combine = Combine.each,
        padding: int | None = None,
        **owner: Any,
    ) -> Value:
        """x [tokens] of the network's input, table [known tokens, features]."""
        known, features = table.shape
        layer = Layer(name, LayerKind.dense, known, features, 0, False, gather=Tokens(x.numbers, combine, padding))
        shape = (*x.shape, features) if combine == Combine.each else (features,)
        return self.layer(name, x, layer, shape, [np.ascontiguousarray(table.T)], **owner)

    # ---- one array

    def activation(self, name: str, x: Value, kind: Activation, slope: float = 0.0) -> Value:
        """The `slope` is that of leaky_relu."""
        return self.node(name, Activate(kind, x.numbers, float(np.float32(slope))), [x], x.shape)

    def scale(
        self,
        name: str,
        x: Value,
        weight: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        *,
        axis: int = 0,
        **owner: Any,
    ) -> Value:
        """weight x + bias, one of each for every entry of `axis`, or a single one for all."""
        (channels,) = next(iter(_present(weight, bias))).shape
        outer, size, inner = _around(x.shape, axis)
        if channels == 1:
            outer, size, inner = x.numbers, 1, 1
        operation = Scale(outer, size, inner, int(weight is not None), int(bias is not None))
        return self.node(name, operation, [x], x.shape, _present(weight, bias), **owner)

    def soft_max(self, name: str, x: Value, axis: int = -1, *, causal: bool = False) -> Value:
        """`causal`: of scores [..., n, n], entry j of row i counts only where j <= i."""
        return self.node(name, SoftMax(*_around(x.shape, axis), int(causal)), [x], x.shape)

    def layer_norm(
        self,
        name: str,
        x: Value,
        weight: np.ndarray | None,
        bias: np.ndarray | None,
        epsilon: float,
        *,
        axes: int = 1,
        **owner: Any,
    ) -> Value:
        """Over the last `axes` axes together."""
        size = math.prod(x.shape[-axes:])
        operation = LayerNorm(
            x.numbers // size, size, float(np.float32(epsilon)), int(weight is not None), int(bias is not None)
        )
        return self.node(name, operation, [x], x.shape, [each.reshape(-1) for each in _present(weight, bias)], **owner)

    def rms_norm(
        self, name: str, x: Value, weight: np.ndarray | None, epsilon: float, *, axes: int = 1, **owner: Any
    ) -> Value:
        size = math.prod(x.shape[-axes:])
        operation = RmsNorm(x.numbers // size, size, float(np.float32(epsilon)), int(weight is not None), 0)
        return self.node(name, operation, [x], x.shape, [each.reshape(-1) for each in _present(weight)], **owner)

    def max_pool(
        self, name: str, x: Value, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, ...] = (0, 0)
    ) -> Value:
        """x [channels, rows, columns]; `padding` as in `convolution`."""
        operation = MaxPool(*_image(name, x), *kernel, *stride, *_four(padding))
        return self.node(name, operation, [x], (x.shape[0], operation.out_height, operation.out_width))

    def average_pool(
        self,
        name: str,
        x: Value,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, ...] = (0, 0),
        *,
        count_padding: bool = True,
    ) -> Value:
        operation = AveragePool(*_image(name, x), *kernel, *stride, *_four(padding), int(count_padding))
        return self.node(name, operation, [x], (x.shape[0], operation.out_height, operation.out_width))

    def global_mean(self, name: str, x: Value, axis: int) -> Value:
        """The axis goes; several neighbouring axes are one after `reshaped`."""
        return self.node(name, GlobalMean(*_around(x.shape, axis)), [x], _without(x.shape, axis))

    def global_max(self, name: str, x: Value, axis: int) -> Value:
        return self.node(name, GlobalMax(*_around(x.shape, axis)), [x], _without(x.shape, axis))

    def slice(self, name: str, x: Value, axis: int, first: int, count: int, step: int = 1) -> Value:
        """Entries first, first + step, ... of an axis; all of them are the array itself."""
        axis %= len(x.shape)
        if (first, count, step) == (0, x.shape[axis], 1):
            return x
        operation = Slice(*_around(x.shape, axis), first, count, step)
        return self.node(name, operation, [x], (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    def transpose(self, name: str, x: Value, axes: Sequence[int]) -> Value:
        """Axis i of the result is axis `axes[i]` of x. Axes that stay side by side move as one; four may move."""
        axes = [axis % len(x.shape) for axis in axes]
        shape = tuple(x.shape[axis] for axis in axes)
        groups: list[list[int]] = []
        for axis in (axis for axis in axes if x.shape[axis] != 1):
            if groups and groups[-1][-1] == max((a for a in range(axis) if x.shape[a] != 1), default=-1):
                groups[-1].append(axis)
            else:
                groups.append([axis])
        if len(groups) <= 1:
            return self.reshaped(x, shape)
        if len(groups) > 4:
            raise PlanError(f"node {name} moves {len(groups)} axes; at most 4 are supported", "move fewer axes at once")
        order = sorted(range(len(groups)), key=lambda g: groups[g])
        rest = range(len(groups), 4)
        sizes = [math.prod(x.shape[axis] for axis in groups[g]) for g in order] + [1 for _ in rest]
        moved = [order.index(g) for g in range(len(groups))]
        operation = Transpose(_four(sizes), _four([*moved, *rest]))
        return self.node(name, operation, [x], shape)

    def recurrent(
        self,
        name: str,
        x: Value,
        cell: Cell,
        weight_ih: np.ndarray,
        weight_hh: np.ndarray,
        bias_ih: np.ndarray | None = None,
        bias_hh: np.ndarray | None = None,
        *,
        reverse: bool = False,
        last: bool = False,
        **owner: Any,
    ) -> Value:
        """x [steps, in]; parameters as torch has them."""
        steps, n_in = x.shape
        hidden = weight_hh.shape[1]
        if weight_ih.shape != (GATES[cell] * hidden, n_in):
            raise PlanError(
                f"node {name}: weights {list(weight_ih.shape)} for {n_in} inputs and {hidden} hidden units", ""
            )
        operation = Recurrent(cell, steps, n_in, hidden, int(bias_ih is not None), int(reverse), int(last))
        shape = (hidden,) if last else (steps, hidden)
        return self.node(name, operation, [x], shape, _present(weight_ih, weight_hh, bias_ih, bias_hh), **owner)

    # ---- several arrays, or none

    def learnt_array(self, name: str, values: np.ndarray, **owner: Any) -> Value:
        return self.node(name, LearntArray(values.size), [], values.shape, [values.reshape(-1)], **owner)

    def add(self, name: str, a: Value, b: Value, *, minus: bool = False) -> Value:
        """a + b, or a - b; one is repeated along axes of size 1 or missing in front, as NumPy does."""
        a, b, swapped = _larger_first(name, a, b)
        if swapped and minus:
            raise PlanError(f"node {name} takes the larger array from the smaller", "negate and add")
        return self.node(name, Add(*_spread(name, a, b), int(minus)), [a, b], a.shape)

    def multiply(self, name: str, a: Value, b: Value) -> Value:
        a, b, _ = _larger_first(name, a, b)
        return self.node(name, Multiply(*_spread(name, a, b)), [a, b], a.shape)

    def concat(self, name: str, values: Sequence[Value], axis: int) -> Value:
        """Any number of arrays: three at a time."""
        axis %= len(values[0].shape)
        made = values[0]
        for at in range(1, len(values), 2):
            parts = [made, *values[at : at + 2]]
            shape = (*made.shape[:axis], sum(part.shape[axis] for part in parts), *made.shape[axis + 1 :])
            sizes = tuple(math.prod(part.shape[axis:]) for part in parts)
            last = at + 2 >= len(values)
            made = self.node(
                name if last else f"{name}.{at}", Concat(math.prod(made.shape[:axis]), sizes), parts, shape
            )
        return made

    def matrix_product(self, name: str, a: Value, b: Value, *, transposed: bool = False) -> Value:
        """a [..., rows, inner] times b [..., inner, columns], or, `transposed`, [..., columns, inner]."""
        *outer, rows, inner = a.shape
        columns = b.shape[-2] if transposed else b.shape[-1]
        if tuple(outer) != b.shape[:-2] or b.shape[-1 if transposed else -2] != inner:
            raise PlanError(
                f"node {name} multiplies {list(a.shape)} and {list(b.shape)}", "shapes have to fit as they are"
            )
        operation = MatrixProduct(math.prod(outer), rows, inner, columns, int(transposed))
        return self.node(name, operation, [a, b], (*outer, rows, columns))

    # ---- the end

    def plan(self, output: Value, *, frozen_int8: bool = False, **settings: Any) -> Plan:
        """The plan whose output is `output`, with the settings of `Plan`. Nodes that it does not need are left out, an
        activation that a layer can hold becomes the layer's. `frozen_int8`: matrices of frozen nodes as 8-bit integers."""
        drafts = self._with_layers_activated(self._needed(output.array), output.array)
        owners: dict[str, Node] = {}
        nodes, theta, at = [], [], 0
        section: list[bytes] = []
        numbers = {0: 0} | {draft.node.output: index + 1 for index, draft in enumerate(drafts)}
        for draft in drafts:
            node = dataclasses.replace(draft.node, output=numbers[draft.node.output], shared=bool(draft.shares))
            node = dataclasses.replace(node, inputs=tuple(numbers[array] for array in node.inputs))
            if draft.shares:
                node = _sharing(node, owners.get(draft.shares), draft.shares)
            elif node.operation.n_parameters:
                node = dataclasses.replace(node, int8=frozen_int8 and node.frozen and holds_matrix(node))
                node = _placed(node, sum(map(len, section)) // 4 if node.frozen else at)
                if node.frozen:
                    section.append(constants.packed(node, draft.values))
                else:
                    theta += [value.reshape(-1) for value in draft.values]
                    at += node.operation.n_parameters
            owners[node.name] = node
            nodes.append(node)
        shapes = {draft.node.output: self._shapes[draft.node.output] for draft in drafts} | {0: self._shapes[0]}
        arrays = tuple(Array(shapes[array]) for array in sorted(numbers, key=numbers.__getitem__))
        parameters = np.concatenate(theta) if theta else np.zeros(0, np.float32)
        return Plan(Graph(tuple(nodes), arrays), parameters, constants=b"".join(section), **settings)

    def _needed(self, output: int) -> list[_Draft]:
        wanted, kept = {output}, []
        for draft in reversed(self._drafts):
            if draft.node.output in wanted:
                wanted |= set(draft.node.inputs)
                kept.append(draft)
        if not kept:
            raise PlanError("the model does nothing with its input", "give a model with a layer")
        return self._with_owners(kept[::-1])

    def _with_owners(self, drafts: list[_Draft]) -> list[_Draft]:
        """Where the owner of shared parameters is not needed, the first node that shares them owns them."""
        all_drafts, there = {d.node.name: d for d in self._drafts}, {d.node.name for d in drafts}
        heirs: dict[str, str] = {}
        made = []
        for draft in drafts:
            owner = all_drafts.get(draft.shares)
            if owner is None or owner.node.name in there:
                made.append(draft)
            elif owner.node.name in heirs:
                made.append(dataclasses.replace(draft, shares=heirs[owner.node.name]))
            else:
                heirs[owner.node.name] = draft.node.name
                node = dataclasses.replace(draft.node, frozen=owner.node.frozen)
                made.append(dataclasses.replace(draft, node=node, values=owner.values, shares=""))
        return made

    def _with_layers_activated(self, drafts: list[_Draft], output: int) -> list[_Draft]:
        readers = {array: [d for d in drafts if array in d.node.inputs] for array in range(len(self._shapes))}
        made: list[_Draft] = []
        gone: set[int] = set()
        for draft in drafts:
            follows = readers[draft.node.output]
            operation = draft.node.operation
            if isinstance(operation, Activate) and draft.node.output in gone:
                continue
            after = follows[0].node if len(follows) == 1 and draft.node.output != output else None
            if after and isinstance(operation, Affine) and isinstance(after.operation, Activate):
                activation = after.operation.activation
                if activation in LAYER_ACTIVATIONS and operation.layer.activation == Activation.identity:
                    gone.add(after.output)
                    held = Affine(dataclasses.replace(operation.layer, activation=activation))
                    node = dataclasses.replace(draft.node, operation=held, output=after.output)
                    draft = dataclasses.replace(draft, node=node)
            made.append(draft)
        return made


def _placed(node: Node, at: int) -> Node:
    operation = node.operation
    if isinstance(operation, Affine):
        operation = Affine(dataclasses.replace(operation.layer, parameter_offset=at))
    return dataclasses.replace(node, operation=operation, parameters=at)


def _sharing(node: Node, owner: Node | None, name: str) -> Node:
    if owner is None:
        raise PlanError(f"node {node.name} shares the parameters of {name}, which does not come before it", "")
    return dataclasses.replace(_placed(node, owner.parameters), frozen=owner.frozen, int8=owner.int8)


def _present(*values: np.ndarray | None) -> list[np.ndarray]:
    return [value for value in values if value is not None]


def _around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """Numbers before, of and after an axis."""
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


def _image(name: str, x: Value) -> tuple[int, int, int]:
    if len(x.shape) != 3:
        raise PlanError(f"node {name} takes [channels, rows, columns], there is {list(x.shape)}", "reshape it before")
    channels, rows, columns = x.shape
    return channels, rows, columns


def _two(sizes: Sequence[int]) -> tuple[int, int]:
    rows, columns = sizes
    return rows, columns


def _four(sizes: Sequence[int]) -> tuple[int, int, int, int]:
    """Four numbers; of two, each twice: a border is the same on both sides."""
    first, second, third, fourth = (*sizes, *sizes) if len(sizes) == 2 else sizes
    return first, second, third, fourth


def _larger_first(name: str, a: Value, b: Value) -> tuple[Value, Value, bool]:
    swapped = b.numbers > a.numbers or (b.numbers == a.numbers and len(b.shape) > len(a.shape))
    return (b, a, True) if swapped else (a, b, False)


def _spread(name: str, a: Value, b: Value) -> tuple[int, int, int]:
    """outer, middle and inner of `Broadcast`. Raises `PlanError` where b's axes are not neighbours in a."""
    shape = (*(1 for _ in range(len(a.shape) - len(b.shape))), *b.shape)
    kept = [axis for axis, size in enumerate(shape) if size != 1]
    fits = len(shape) == len(a.shape) and all(shape[axis] == a.shape[axis] for axis in kept)
    first, end = (min(kept), max(kept) + 1) if kept else (0, 0)
    if not fits or any(shape[axis] != a.shape[axis] for axis in range(first, end)):
        raise PlanError(f"node {name} joins arrays {list(a.shape)} and {list(b.shape)}", "give arrays whose axes fit")
    return math.prod(a.shape[:first]), math.prod(a.shape[first:end]), math.prod(a.shape[end:])
