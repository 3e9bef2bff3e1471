# SPDX-License-Identifier: MIT
"""Derivatives through a plan's graph as ONNX nodes: each column of a jet is a value of its own, [rows, numbers]."""

import dataclasses

import numpy as np

from ttzo.device_runtime.contract import Activation, NodeOperation
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.operations.operation import Operation
from ttzo.exporter.operations.scale import Scale
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx.graph import WRITERS, dequantize_frozen, tensors_of
from ttzo.exporter.writers.onnx.nodes import Nodes
from ttzo.exporter.writers.onnx.onnx_nodes import NodeProto, function_name


@dataclasses.dataclass(frozen=True)
class Columns:
    """The values of a jet: `first` and `second` along each direction, `third` along the only one, `total` the sum of the second
    ones along the first `n_summed` directions."""

    value: str
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    third: tuple[str, ...] = ()
    total: tuple[str, ...] = ()
    n_summed: int = 0

    @property
    def derivatives(self) -> tuple[str, ...]:
        return *self.first, *self.second, *self.third, *self.total

    def with_derivatives(self, value: str, others: list[str]) -> "Columns":
        """The same columns by other names, in their order."""
        names, parts = iter(others), {}
        for kind in ("first", "second", "third", "total"):
            parts[kind] = tuple(next(names) for _ in getattr(self, kind))
        return Columns(value, **parts, n_summed=self.n_summed)


class GraphJets:
    """Writes a plan's nodes after those in `made`, any number of times. `bare_layers` get the tensor-train layers without bias."""

    def __init__(self, plan: Plan, made: list[NodeProto], bare_layers: dict[str, Layer]):
        self.plan, self.nodes, self.bare_layers = plan, Nodes({}), bare_layers
        self.nodes.made = made
        self._calls = 0
        dequantize_frozen(self.nodes, plan)

    def carry(self, inputs: Columns) -> Columns:
        """The outputs' columns, [rows, out_features] each, from those of the inputs."""
        self._calls += 1
        self.nodes.rows = inputs.value
        for name in (inputs.value, *inputs.derivatives):
            self.nodes.shape_of[name] = (self.plan.in_features,)
        arrays = {0: inputs}
        for node, tensors in tensors_of(self.plan):
            arrays[node.output] = self._node(node, tensors, [arrays[array] for array in node.inputs], inputs)
        made = arrays[self.plan.graph.nodes[-1].output]
        flat = [self.nodes.view(name, (self.plan.out_features,)) for name in (made.value, *made.derivatives)]
        return made.with_derivatives(flat[0], flat[1:])

    # ---- nodes

    def _node(self, node: Node, tensors: list[str], x: list[Columns], like: Columns) -> Columns:
        operation = node.operation
        if like.derivatives and isinstance(operation, Activate):
            return self._bent(operation.activation, x[0].value, x[0])
        if like.derivatives and isinstance(operation, Affine | Scale):
            return self._linear(node, operation, tensors, x[0])
        value = self._written(node, operation, tensors, [each.value for each in x], 0)
        if not like.derivatives:
            return Columns(value)
        if NodeOperation.multiply == operation.CODE:
            return self._product(node, x[0], x[1], value)
        if NodeOperation.learnt_array == operation.CODE:
            zero = self._op("Mul", value, self._number(0))
            return like.with_derivatives(value, [zero for _ in like.derivatives])
        columns = [self._written(node, operation, tensors, list(names), c + 1) for c, names in _together(x)]
        return like.with_derivatives(value, columns)

    def _written(self, node: Node, operation: Operation, tensors: list[str], inputs: list[str], column: int) -> str:
        """One column after an operation; names that it makes are its own."""
        name = f"{node.name}/{self._calls}/{column}"
        self.nodes.begin(name)
        if isinstance(operation, Affine):
            operation = Affine(dataclasses.replace(operation.layer, name=name))
        return WRITERS[operation.CODE].write(self.nodes, operation, tensors, inputs)

    def _op(self, operator: str, *inputs: str) -> str:
        return self.nodes.add(operator, list(inputs), self.nodes.shape_of[inputs[0]])

    def _linear(self, node: Node, operation: Affine | Scale, tensors: list[str], x: Columns) -> Columns:
        """The bias belongs to the value alone, the activation to all columns together."""
        activation = Activation.identity
        bare: Affine | Scale
        if isinstance(operation, Affine):
            activation = operation.layer.activation
            operation = Affine(dataclasses.replace(operation.layer, activation=Activation.identity))
            bare = Affine(dataclasses.replace(operation.layer, has_bias=False))
            if bare.layer.in_modes:
                self.bare_layers[function_name(bare.layer)] = bare.layer
        else:
            bare = dataclasses.replace(operation, has_bias=0)
        value = self._written(node, operation, tensors, [x.value], 0)
        weights = tensors[: len(bare.parameter_shapes)]
        columns = [self._written(node, bare, weights, [name], c + 1) for c, name in enumerate(x.derivatives)]
        made = x.with_derivatives(value, columns)
        return made if activation == Activation.identity else self._bent(activation, value, made)

    def _product(self, node: Node, a: Columns, b: Columns, value: str) -> Columns:
        """Leibniz's rule."""
        count = 0

        def times(x: str, y: str) -> str:
            nonlocal count
            count += 1
            return self._written(node, node.operation, [], [x, y], count)

        def sum_of(total: str, *others: str) -> str:
            for other in others:
                total = self._op("Add", total, other)
            return total

        first, second, third, total = [], [], [], []
        for k, (a1, b1) in enumerate(zip(a.first, b.first, strict=True)):
            first.append(sum_of(times(a1, b.value), times(a.value, b1)))
            if a.second:
                a2, b2, crossed = a.second[k], b.second[k], times(a1, b1)
                second.append(sum_of(times(a2, b.value), times(a.value, b2), crossed, crossed))
            if a.third:
                mixed = sum_of(times(a2, b1), times(a1, b2))
                ends = times(a.third[k], b.value), times(a.value, b.third[k])
                third.append(sum_of(*ends, mixed, mixed, mixed))
        if a.total:
            pairs = zip(a.first[: a.n_summed], b.first, strict=False)
            crossed = sum_of(*(times(a1, b1) for a1, b1 in pairs))
            total.append(sum_of(times(a.total[0], b.value), times(a.value, b.total[0]), crossed, crossed))
        return Columns(value, tuple(first), tuple(second), tuple(third), tuple(total), a.n_summed)

    # ---- activations

    def _bent(self, kind: Activation, z: str, x: Columns) -> Columns:
        value, first, second, third = self._slopes(kind, z)
        squares = [self._op("Mul", each, each) for each in x.first]
        made: dict[str, list[str]] = {"first": [self._op("Mul", each, first) for each in x.first]}
        made["second"] = [
            self._op("Add", self._op("Mul", square, second), self._op("Mul", twice, first))
            for square, twice in zip(squares, x.second, strict=False)
        ]
        for one, square, twice, thrice in zip(x.first, squares, x.second, x.third, strict=False):
            mixed = self._op("Mul", self._op("Mul", one, twice), self._op("Mul", second, self._number(3)))
            cubed = self._op("Mul", self._op("Mul", square, one), third)
            made["third"] = [self._op("Add", self._op("Add", cubed, mixed), self._op("Mul", thrice, first))]
        for total in x.total:
            summed = squares[0]
            for square in squares[1 : x.n_summed]:
                summed = self._op("Add", summed, square)
            made["total"] = [self._op("Add", self._op("Mul", summed, second), self._op("Mul", total, first))]
        return Columns(value, **{name: tuple(each) for name, each in made.items()}, n_summed=x.n_summed)

    def _number(self, value: float) -> str:
        return self.nodes.constant(np.float32(value))

    def _slopes(self, kind: Activation, z: str) -> tuple[str, str, str, str]:
        """phi(z) and its derivatives."""
        op, number = self._op, self._number
        if kind == Activation.sine:
            sine, cosine = op("Sin", z), op("Cos", z)
            return sine, cosine, op("Neg", sine), op("Neg", cosine)
        if kind == Activation.tanh:
            value = op("Tanh", z)
            first = op("Add", op("Neg", op("Mul", value, value)), number(1))
            curve = op("Sub", op("Mul", op("Mul", value, value), number(4)), op("Mul", first, number(2)))
            return value, first, op("Mul", op("Mul", value, first), number(-2)), op("Mul", first, curve)
        if kind == Activation.gelu:
            square, root = op("Mul", z, z), number(np.sqrt(0.5))
            density = op("Mul", op("Exp", op("Mul", square, number(-0.5))), number(1 / np.sqrt(2 * np.pi)))
            share = op("Mul", op("Add", op("Erf", op("Mul", z, root)), number(1)), number(0.5))
            second = op("Mul", density, op("Sub", op("Neg", square), number(-2)))
            third = op("Mul", density, op("Mul", z, op("Sub", square, number(4))))
            return op("Mul", z, share), op("Add", op("Mul", z, density), share), second, third
        value = op("Sigmoid", z)
        first = op("Sub", value, op("Mul", value, value))
        second = op("Mul", first, op("Add", op("Mul", value, number(-2)), number(1)))
        third = op("Mul", first, op("Add", op("Mul", first, number(-6)), number(1)))
        if kind == Activation.sigmoid:
            return value, first, second, third
        return (  # silu
            op("Mul", z, value),
            op("Add", op("Mul", z, first), value),
            op("Add", op("Mul", z, second), op("Mul", first, number(2))),
            op("Add", op("Mul", z, third), op("Mul", second, number(3))),
        )


def _together(x: list[Columns]) -> list[tuple[int, tuple[str, ...]]]:
    """The same column of each input, numbered."""
    return list(enumerate(zip(*(each.derivatives for each in x), strict=True)))
