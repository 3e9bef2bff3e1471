# SPDX-License-Identifier: MIT
"""A PDE's loss as an ONNX graph: points in, residuals out, parameters as inputs.

Inputs are the parameter tensors by name, `x` float32 [batch, inputs] (the points of a step's rows, group by group, as
`ttzo_pde_residual` draws them), with readings `measured` [batch, numbers], with periodic conditions `opposite` [batch, inputs] (the same, on the opposite faces), and
with monte_carlo `normals` [n_pairs, inputs, batch], with sampled_jet `directions` [directions, batch, inputs]. Outputs are `residuals`
[batch] (times the root of their weight), `losses` and `loss`. Differences and Stein estimators are one evaluation of
the network at all nodes and a matrix product with their weights; jets go through the layers as on the device.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ttzo.device_runtime.contract import (
    LIMIT,
    Activation,
    Derivative,
    LayerKind,
    Need,
    Operation,
    ProgramInput,
    Sampler,
)
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.pde.program import JETS, Direction, Pde, Program, RowGroup, operand_count
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx.graph import frozen_tensors
from ttzo.exporter.writers.onnx.graph_jets import Columns, GraphJets
from ttzo.exporter.writers.onnx.onnx_nodes import (
    DOMAIN,
    OPERATORS,
    TensorProto,
    function_name,
    helper,
    model_around,
    numpy_helper,
    onnx,
)

_UNARY = {
    Operation.negate: "Neg",
    Operation.sqrt: "Sqrt",
    Operation.exp: "Exp",
    Operation.log: "Log",
    Operation.sin: "Sin",
    Operation.cos: "Cos",
    Operation.tanh: "Tanh",
    Operation.atan: "Atan",
}
_BINARY = {Operation.add: "Add", Operation.subtract: "Sub", Operation.multiply: "Mul", Operation.divide: "Div"}


def residual_graph(plan: Plan) -> onnx.ModelProto:
    """The losses of a step's rows as a function of parameters and points."""
    build = _Builder(plan)
    parts, at = [], 0
    for group in plan.equation.groups:
        residual = build.condition(group, "x", at)
        if group.sampler == Sampler.opposite:
            residual = build.op("Sub", residual, build.condition(group, "opposite", at))
        parts.append(build.op("Mul", residual, build.number(group.root_weight)))
        at += group.count
    build.op("Reshape", build.op("Concat", *parts, axis=0), build.whole([-1]), out="residuals")
    build.op("Mul", "residuals", "residuals", out="losses")
    build.op("ReduceMean", "losses", out="loss", axes=[0], keepdims=0)
    names = [("residuals", ["batch"]), ("losses", ["batch"]), ("loss", [])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names]
    constants = [*build.constants.values(), *frozen_tensors(plan)]
    graph = helper.make_graph(build.nodes, "loss", _inputs(plan), outputs, constants)
    return model_around(plan, graph, build.bare_layers)


def _inputs(plan: Plan) -> list[onnx.ValueInfoProto]:
    shapes: list[tuple[str, Sequence[int | str]]] = [(tensor.name, tensor.shape) for tensor in plan.tensors]
    shapes.append(("x", ["batch", plan.in_features]))
    if plan.equation.readings:
        shapes.append(("measured", ["batch", plan.equation.n_measured]))
    if has_opposite(plan.equation):
        shapes.append(("opposite", ["batch", plan.in_features]))
    if plan.equation.derivative == Derivative.monte_carlo:
        shapes.append(("normals", [plan.equation.n_pairs, plan.in_features, "batch"]))
    if plan.equation.n_sampled:
        shapes.append(("directions", [plan.equation.n_directions, "batch", plan.in_features]))
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]


def has_opposite(pde: Pde) -> bool:
    """Whether rows compare two points."""
    return any(group.sampler == Sampler.opposite for group in pde.groups)


@dataclass
class _Output:
    """Names of an output's derivatives at n points: `value` and `laplacian` [n, 1], `first` and `diagonal` [n, inputs]."""

    value: str
    first: str = ""
    laplacian: str = ""
    diagonal: str = ""


@dataclass
class _Found:
    """The outputs' derivatives, and those along each direction, order by order, [n, outputs]."""

    outputs: list[_Output]
    along: list[list[str]] = field(default_factory=list)


def stencil(pde: Pde) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes around a point and what the difference to the centre counts for there: nodes [n, inputs], weights of the
    first derivatives [n, inputs], of the Laplacian [n, 1] and of the second derivatives [n, inputs]."""
    n, radius = pde.n_inputs, pde.radius
    if pde.derivative == Derivative.finite_difference:
        steps = np.concatenate([np.eye(n), -np.eye(n)])
        second = np.abs(steps) / radius**2
        return radius * steps, steps / (2 * radius), second[:, : pde.n_space].sum(1, keepdims=True), second
    z, weights = pde.stein_grid.nodes(), pde.stein_grid.weights()[:, None]
    in_space = (z[:, : pde.n_space] ** 2).sum(1, keepdims=True) - pde.n_space
    return radius * z, weights * z / radius, weights * in_space / radius**2, weights * (z * z - 1) / radius**2


class _Builder:
    """A graph while it is being written. Values are two-dimensional: points [n, inputs], scalars [n, 1]."""

    def __init__(self, plan: Plan):
        self.plan, self.pde = plan, plan.equation
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[bytes, onnx.TensorProto] = {}
        self.bare_layers: dict[str, Layer] = {}  # tensor-train layers without bias, for tangents
        self.graph = None if plan.chain else GraphJets(plan, self.nodes, self.bare_layers)

    def op(self, operator: str, *inputs: str, out: str = "", **attributes) -> str:
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def constant(self, array: np.ndarray) -> str:
        key = array.dtype.str.encode() + str(array.shape).encode() + array.tobytes()
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return self.constants[key].name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def floats(self, array: np.ndarray) -> str:
        return self.constant(np.ascontiguousarray(array, np.float32))

    def whole(self, values: list[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def cut(self, value: str, first: int, end: int, axis: int) -> str:
        return self.op("Slice", value, self.whole([first]), self.whole([end]), self.whole([axis]))

    def rows(self, value: str, first: int, end: int) -> str:
        return self.cut(value, first, end, 0)

    # ---- the network

    def affine(self, layer: Layer, value: str, has_bias: bool) -> str:
        tensors = [tensor.name for tensor in layer.tensors]
        if layer.has_bias and not has_bias:
            layer, tensors = dataclasses.replace(layer, has_bias=False), tensors[:-1]
        if layer.gather:
            return self.convolution(layer, value, tensors)
        if layer.kind == LayerKind.dense:
            return self.op("Gemm", value, *tensors, transB=1)
        self.bare_layers[function_name(layer)] = layer
        node = helper.make_node(function_name(layer), [value, *tensors], [f"v{len(self.nodes)}"], domain=DOMAIN)
        self.nodes.append(node)
        return node.output[0]

    def convolution(self, layer: Layer, value: str, tensors: list[str]) -> str:
        gather = layer.patches
        image = self.op("Reshape", value, self.whole([-1, gather.channels, gather.height, gather.width]))
        kernel = self.op("Reshape", tensors[0], self.whole([layer.out_features, gather.channels, *gather.kernel]))
        made = self.op("Conv", image, kernel, *tensors[1:], strides=gather.stride, pads=gather.padding * 2)
        return self.op("Reshape", made, self.whole([-1, layer.n_outputs]))

    def inputs(self, points: str) -> str:
        scaled = self.op("Mul", points, self.number(self.plan.input_scale))
        return self.op("Add", scaled, self.number(self.plan.input_offset))

    def outputs(self, points: str) -> str:
        value = self.inputs(points)
        if self.graph:
            return self.graph.carry(Columns(value)).value
        for layer in self.plan.layers:
            value = self.affine(layer, value, True)
            if layer.activation != Activation.identity:
                value = self.op(OPERATORS[layer.activation], value)
        return value

    # ---- derivatives

    def condition(self, group: RowGroup, of: str, at: int) -> str:
        """A group's program at its rows of the points `of`."""
        points = self.rows(of, at, at + group.count)
        found = self.derive(points, group.condition.needs, at, at + group.count)
        measured = self.rows("measured", at, at + group.count) if self.pde.readings else ""
        return self.run(group.condition, points, found, measured)

    def unknown(self, number: int) -> str:
        """The value of an unknown constant."""
        name, unit = self.plan.unknowns[number], self.pde.units[number]
        return self.op("Mul", name, self.number(unit)) if unit > 0 else self.op("Exp", name)

    def each(self, value: str) -> list[str]:
        """The columns of [n, outputs], each [n, 1]."""
        m = self.plan.out_features
        return [value] if m == 1 else [self.cut(value, o, o + 1, 1) for o in range(m)]

    def derive(self, points: str, needs: int, first: int, end: int) -> _Found:
        n = end - first
        if not needs:
            return _Found([_Output(value) for value in self.each(self.outputs(points))])
        if self.pde.derivative in (*JETS, Derivative.compensated_jet):
            along = self.pde.directions if needs & Need.along else ()
            return _Found(
                self.jets(points, needs, first, end), [self.along(points, direction, n) for direction in along]
            )
        return _Found(self.sampled(points, first, end) if self.is_sampled else self.differences(points))

    @property
    def is_sampled(self) -> bool:
        return self.pde.derivative == Derivative.monte_carlo

    def differences(self, points: str) -> list[_Output]:
        nodes, of_first, of_laplacian, of_second = stencil(self.pde)
        apart = self.op("Unsqueeze", points, self.whole([1]))
        around = self.op("Reshape", self.op("Add", apart, self.floats(nodes)), self.whole([-1, self.pde.n_inputs]))
        made = []
        for value, there in zip(self.each(self.outputs(points)), self.each(self.outputs(around)), strict=True):
            change = self.op("Sub", self.op("Reshape", there, self.whole([-1, len(nodes)])), value)
            found = (self.op("MatMul", change, self.floats(w)) for w in (of_first, of_laplacian, of_second))
            made.append(_Output(value, *found))
        return made

    def sampled(self, points: str, first: int, end: int) -> list[_Output]:
        pde, n = self.pde, self.pde.n_inputs
        z = self.op("Transpose", self.cut("normals", first, end, 2), perm=[2, 0, 1])  # [rows, pairs, inputs]
        both = self.op("Concat", z, self.op("Neg", z), axis=1)
        nodes = self.op(
            "Add", self.op("Unsqueeze", points, self.whole([1])), self.op("Mul", both, self.number(pde.radius))
        )
        around = self.each(self.outputs(self.op("Reshape", nodes, self.whole([-1, n]))))
        squares = self.op("Sub", self.op("Mul", both, both), self.number(1.0))
        made = []
        for value, there in zip(self.each(self.outputs(points)), around, strict=True):
            wide = self.op("Reshape", there, self.whole([-1, 1, 2 * pde.n_pairs]))
            change = self.op("Sub", wide, self.op("Unsqueeze", value, self.whole([2])))  # [rows, 1, nodes]
            change = self.op("Mul", change, self.number(0.5 / pde.n_pairs))
            slopes = self.op("Mul", self.op("MatMul", change, both), self.number(1 / pde.radius))
            second = self.op("Mul", self.op("MatMul", change, squares), self.number(1 / pde.radius**2))
            diagonal = self.op("Reshape", second, self.whole([-1, n]))
            first_derivatives = self.op("Reshape", slopes, self.whole([-1, n]))
            made.append(_Output(value, first_derivatives, self.sum_in_space(diagonal), diagonal))
        return made

    def sum_in_space(self, diagonal: str) -> str:
        return self.op("ReduceSum", self.cut(diagonal, 0, self.pde.n_space, 1), self.whole([1]), keepdims=1)

    def directions(self, first: int, end: int) -> str:
        """How far the inputs go along the directions of jets, for rows [first, end): [directions * n, inputs]."""
        if not self.pde.n_sampled:
            return self.floats(np.repeat(np.eye(self.pde.n_inputs) * self.plan.input_scale, end - first, axis=0))
        return self.op("Reshape", self.cut("directions", first, end, 1), self.whole([-1, self.pde.n_inputs]))

    def jets(self, points: str, needs: int, first_row: int, end: int) -> list[_Output]:
        """All directions at once: columns [directions * n, features], direction by direction."""
        n_directions, diagonal, n = self.pde.n_directions, bool(needs & Need.diagonal), end - first_row
        if self.graph:
            return self.jets_of_graph(self.graph, points, needs, self.directions(first_row, end), n)
        value, first = self.inputs(points), self.directions(first_row, end)
        second = ""
        for layer in self.plan.layers:
            value = self.affine(layer, value, True)
            first = self.affine(layer, first, False)
            second = self.affine(layer, second, False) if second else ""
            if layer.activation == Activation.identity:
                continue
            value, slope, curvature = self.slopes(layer.activation, value)
            width = layer.n_outputs
            shape = self.whole([n_directions, n, width])
            first = self.op("Reshape", first, shape)
            squares = self.op("Mul", first, first)
            if not diagonal:
                in_space = self.cut(squares, 0, self.pde.n_summed, 0)
                squares = self.op("ReduceSum", in_space, self.whole([0]), keepdims=1)
            bent = self.op("Mul", curvature, squares)
            if second:
                second = self.op("Reshape", second, self.whole([-1, n, width]))
                bent = self.op("Add", bent, self.op("Mul", slope, second))
            second = self.op("Reshape", bent, self.whole([-1, width]))
            first = self.op("Reshape", self.op("Mul", slope, first), self.whole([-1, width]))
        if not second:
            second = self.floats(np.zeros((n_directions * n if diagonal else n, self.plan.out_features)))
        return [
            self.output_of_jets(*names, n, diagonal)
            for names in zip(self.each(value), self.each(first), self.each(second), strict=True)
        ]

    def jets_of_graph(self, graph: GraphJets, points: str, needs: int, first: str, n: int) -> list[_Output]:
        """The same of a graph; `first`: how far the inputs go, [directions * n, inputs]."""
        along = tuple(self.rows(first, k * n, (k + 1) * n) for k in range(self.pde.n_directions))
        zero = self.floats(np.zeros((n, self.pde.n_inputs)))
        own = bool(needs & Need.diagonal)
        second, total = ((zero,) * len(along), ()) if own else ((), (zero,))
        found = graph.carry(Columns(self.inputs(points), along, second, (), total, self.pde.n_summed))
        made = []
        for o in range(self.plan.out_features):
            value, *others = (self.cut(name, o, o + 1, 1) for name in (found.value, *found.derivatives))
            slopes = self.op("Concat", *others[: len(along)], axis=1)
            seconds = self.op("Concat", *others[len(along) :], axis=1)
            made.append(
                _Output(value, slopes, self.sum_in_space(seconds), seconds) if own else _Output(value, slopes, seconds)
            )
        return made

    def output_of_jets(self, value: str, first: str, second: str, n: int, diagonal: bool) -> _Output:
        """One output's derivatives, from columns [directions * n, 1], direction by direction."""
        shape = self.whole([self.pde.n_directions, n])
        turned = self.op("Transpose", self.op("Reshape", first, shape), perm=[1, 0])
        if not diagonal:
            return _Output(value, turned, second)
        seconds = self.op("Transpose", self.op("Reshape", second, shape), perm=[1, 0])
        return _Output(value, turned, self.sum_in_space(seconds), seconds)

    def along(self, points: str, direction: Direction, n: int) -> list[str]:
        """The derivatives along a direction, order by order, each [n, outputs]."""
        start = self.vector(points, direction, n) or self.floats(self.fixed(direction, n))
        value, columns = self.inputs(points), [start, "", ""][: direction.order]
        if self.graph:
            zero = (self.floats(np.zeros((n, self.pde.n_inputs))),)
            jet = Columns(value, (start,), zero if direction.order > 1 else (), zero if direction.order > 2 else ())
            return list(self.graph.carry(jet).derivatives)
        for layer in self.plan.layers:
            value = self.affine(layer, value, True)
            columns = [self.affine(layer, column, False) if column else "" for column in columns]
            if layer.activation != Activation.identity:
                value, slope, curvature = self.slopes(layer.activation, value)
                third = self.third(layer.activation, value, slope)
                columns = self.bend_along(columns, slope, curvature, third)
        return [column or self.floats(np.zeros((n, self.plan.out_features))) for column in columns]

    def fixed(self, direction: Direction, n: int) -> np.ndarray:
        start = np.zeros((n, self.pde.n_inputs))
        start[:, direction.second] = direction.factor * self.plan.input_scale
        start[:, direction.first] = self.plan.input_scale
        return start

    def vector(self, points: str, direction: Direction, n: int) -> str:
        """[n, inputs] of a direction that a program computes; "" of another."""
        if direction.first != LIMIT["vector_direction"]:
            return ""
        made = self.run(self.pde.vectors[direction.second], points, _Found([_Output(self.floats(np.zeros((n, 1))))]))
        made = self.op("Mul", made, self.number(self.plan.input_scale))
        return self.op("Concat", made, self.floats(np.zeros((n, 1))), axis=1) if self.pde.has_time else made

    def bend_along(self, columns: list[str], slope: str, curvature: str, third: str) -> list[str]:
        one = columns[0]
        square = self.op("Mul", one, one)
        made = [self.op("Mul", slope, one)]
        if len(columns) > 1:
            made.append(self.add(self.op("Mul", curvature, square), slope, columns[1]))
        if len(columns) > 2:
            cubed = self.op("Mul", third, self.op("Mul", square, one))
            bent = self.op("Mul", self.op("Mul", self.number(3.0), curvature), one)
            made.append(self.add(self.add(cubed, bent, columns[1]), slope, columns[2]))
        return made

    def add(self, total: str, factor: str, column: str) -> str:
        """total + factor column; a column without a name is 0."""
        return self.op("Add", total, self.op("Mul", factor, column)) if column else total

    def third(self, kind: Activation, value: str, slope: str) -> str:
        """The third derivative of an activation."""
        if kind == Activation.sine:
            return self.op("Neg", slope)
        if kind != Activation.tanh:
            return self.op("Mul", slope, self.number(0.0))
        square = self.op("Mul", self.op("Mul", self.number(4.0), value), value)
        return self.op("Mul", slope, self.op("Sub", square, self.op("Mul", self.number(2.0), slope)))

    def slopes(self, kind: Activation, z: str) -> tuple[str, str, str]:
        """phi(z) and its two derivatives."""
        value = self.op(OPERATORS[kind], z)
        if kind == Activation.sine:
            return value, self.op("Cos", z), self.op("Neg", value)
        if kind == Activation.tanh:
            slope = self.op("Sub", self.number(1.0), self.op("Mul", value, value))
            return value, slope, self.op("Mul", self.op("Mul", self.number(-2.0), value), slope)
        slope = self.op("Cast", self.op("Greater", z, self.number(0.0)), to=TensorProto.FLOAT)
        return value, slope, self.op("Mul", slope, self.number(0.0))

    # ---- programs

    def run(self, program: Program, points: str, found: _Found, measured: str = "") -> str:
        """The program's result [n, 1]."""
        n, summed, timed = self.pde.n_space, self.pde.n_summed, self.pde.has_time

        def space(value: str, end: int = n) -> str:
            return self.cut(value, 0, end, 1) if value else ""

        def time(value: str, at: int = n) -> str:
            return self.cut(value, at, at + 1, 1) if value and timed else self.number(0.0)

        def of_network(found: _Output) -> list[str]:
            made = [found.value, space(found.first, summed), time(found.first, summed), found.laplacian]
            return [*made, space(found.diagonal), time(found.diagonal)]

        outputs = [of_network(each) for each in found.outputs]
        registers = [space(points), time(points), *outputs[0], *(self.number(value) for value in program.constants)]
        for operation, *numbers in program.instructions:
            if operation == Operation.output:
                registers.append(outputs[numbers[1]][numbers[0] - ProgramInput.n])
                continue
            if operation == Operation.unknown:
                registers.append(self.unknown(numbers[0]))
                continue
            if operation == Operation.measured:
                registers.append(self.cut(measured, numbers[0], numbers[0] + 1, 1))
                continue
            if operation == Operation.gradient_product:
                both = self.op("Mul", *(outputs[o][ProgramInput.n_x - ProgramInput.n] for o in numbers[:2]))
                registers.append(self.op("ReduceSum", both, self.whole([1]), keepdims=1))
                continue
            if operation == Operation.along:
                registers.append(self.each(found.along[numbers[0]][numbers[2] - 1])[numbers[1]])
                continue
            args = [registers[r] for r in numbers[: operand_count(operation)]]
            registers.append(self.apply(operation, args, numbers[1]))
        # a result that no input reaches still has a row for each point
        return self.op("Add", registers[program.output], self.op("Mul", outputs[0][0], self.number(0.0)))

    def apply(self, operation: Operation, args: list[str], index: int) -> str:
        n, a = self.pde.n_space, args[0]
        match operation:
            case Operation.less:
                return self.op("Cast", self.op("Less", *args), to=TensorProto.FLOAT)
            case Operation.select:
                return self.op("Where", self.op("Cast", a, to=TensorProto.BOOL), *args[1:])
            case Operation.expm1:
                return self.op("Sub", self.op("Exp", a), self.number(1.0))
            case Operation.log1p:
                return self.op("Log", self.op("Add", a, self.number(1.0)))
            case Operation.atan2:
                return self.angle(*args)
            case Operation.sum:
                return self.op("ReduceSum", a, self.whole([1]), keepdims=1)
            case Operation.component:
                return self.cut(a, index, index + 1, 1)
            case Operation.shift:
                return self.op("MatMul", a, self.floats(np.eye(n, k=-index)))
            case Operation.place:
                return self.op("Mul", a, self.floats(np.eye(n)[index : index + 1]))
            case Operation.spread:
                return self.op("Mul", a, self.floats(np.ones((1, n))))
        return self.op(_UNARY[operation], a) if operation in _UNARY else self.op(_BINARY[operation], *args)

    def angle(self, y: str, x: str) -> str:
        """atan2(y, x): atan(y / x), and half a turn more where x is negative; 0 at the origin."""
        zero, half = self.number(0.0), self.number(math.pi / 2)
        left, down, on_axis = self.op("Less", x, zero), self.op("Less", y, zero), self.op("Equal", x, zero)
        beside = self.op("Atan", self.op("Div", y, self.op("Where", on_axis, self.number(1.0), x)))
        turn = self.op("Where", down, self.number(-math.pi), self.number(math.pi))
        aside = self.op("Where", left, self.op("Add", beside, turn), beside)
        upright = self.op("Mul", self.op("Sign", y), half)
        return self.op("Where", on_axis, upright, aside)
