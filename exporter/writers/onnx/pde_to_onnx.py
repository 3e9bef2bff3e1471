# SPDX-License-Identifier: MIT
"""A PDE's loss as an ONNX graph: points in, residuals out, parameters as inputs.

Inputs are the parameter tensors by name, `x` float32 [batch, inputs] (the points of a step's rows, group by group, as
`ttzo_pde_residual` draws them) and, with monte_carlo, `normals` [n_pairs, inputs, batch]. Outputs are `residuals`
[batch] (times the root of their weight), `losses` and `loss`. Differences and Stein estimators are one evaluation of
the network at all nodes and a matrix product with their weights; jets go through the layers as on the device.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Activation, Derivative, LayerKind, Need, Operation
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.pde.program import Pde, Program, operand_count
from ttzo.exporter.plan.plan import Plan
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
        points = build.rows("x", at, at + group.count)
        found = build.derive(points, group.condition.needs, at, at + group.count)
        residual = build.run(group.condition, points, found)
        parts.append(build.op("Mul", residual, build.number(group.root_weight)))
        at += group.count
    build.op("Reshape", build.op("Concat", *parts, axis=0), build.whole([-1]), out="residuals")
    build.op("Mul", "residuals", "residuals", out="losses")
    build.op("ReduceMean", "losses", out="loss", axes=[0], keepdims=0)
    names = [("residuals", ["batch"]), ("losses", ["batch"]), ("loss", [])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names]
    graph = helper.make_graph(build.nodes, "loss", _inputs(plan), outputs, list(build.constants.values()))
    return model_around(plan, graph, build.bare_layers)


def _inputs(plan: Plan) -> list[onnx.ValueInfoProto]:
    shapes: list[tuple[str, Sequence[int | str]]] = [(tensor.name, tensor.shape) for tensor in plan.tensors]
    shapes.append(("x", ["batch", plan.in_features]))
    if plan.equation.derivative == Derivative.monte_carlo:
        shapes.append(("normals", [plan.equation.n_pairs, plan.in_features, "batch"]))
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]


@dataclass
class _Found:
    """Names of derivatives at n points: `value` and `laplacian` [n, 1], `first` and `diagonal` [n, inputs]."""

    value: str
    first: str = ""
    laplacian: str = ""
    diagonal: str = ""


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
        if layer.kind == LayerKind.dense:
            return self.op("Gemm", value, *tensors, transB=1)
        self.bare_layers[function_name(layer)] = layer
        node = helper.make_node(function_name(layer), [value, *tensors], [f"v{len(self.nodes)}"], domain=DOMAIN)
        self.nodes.append(node)
        return node.output[0]

    def inputs(self, points: str) -> str:
        scaled = self.op("Mul", points, self.number(self.plan.input_scale))
        return self.op("Add", scaled, self.number(self.plan.input_offset))

    def outputs(self, points: str) -> str:
        value = self.inputs(points)
        for layer in self.plan.layers:
            value = self.affine(layer, value, True)
            if layer.activation != Activation.identity:
                value = self.op(OPERATORS[layer.activation], value)
        return value

    # ---- derivatives

    def derive(self, points: str, needs: int, first: int, end: int) -> _Found:
        if not needs:
            return _Found(self.outputs(points))
        if self.pde.derivative in (Derivative.jet, Derivative.compensated_jet):
            return self.jets(points, needs, end - first)
        if self.pde.derivative == Derivative.monte_carlo:
            return self.sampled(points, first, end)
        nodes, of_first, of_laplacian, of_second = stencil(self.pde)
        value = self.outputs(points)
        apart = self.op("Unsqueeze", points, self.whole([1]))
        around = self.op("Reshape", self.op("Add", apart, self.floats(nodes)), self.whole([-1, self.pde.n_inputs]))
        wide = self.op("Reshape", self.outputs(around), self.whole([-1, len(nodes)]))
        change = self.op("Sub", wide, value)
        return _Found(value, *(self.op("MatMul", change, self.floats(w)) for w in (of_first, of_laplacian, of_second)))

    def sampled(self, points: str, first: int, end: int) -> _Found:
        pde, n = self.pde, self.pde.n_inputs
        z = self.op("Transpose", self.cut("normals", first, end, 2), perm=[2, 0, 1])  # [rows, pairs, inputs]
        both = self.op("Concat", z, self.op("Neg", z), axis=1)
        nodes = self.op(
            "Add", self.op("Unsqueeze", points, self.whole([1])), self.op("Mul", both, self.number(pde.radius))
        )
        wide = self.op(
            "Reshape",
            self.outputs(self.op("Reshape", nodes, self.whole([-1, n]))),
            self.whole([-1, 1, 2 * pde.n_pairs]),
        )
        value = self.outputs(points)
        change = self.op("Sub", wide, self.op("Unsqueeze", value, self.whole([2])))  # [rows, 1, nodes]
        change = self.op("Mul", change, self.number(0.5 / pde.n_pairs))
        squares = self.op("Sub", self.op("Mul", both, both), self.number(1.0))
        flat = self.whole([-1, n])
        first_derivatives = self.op("Mul", self.op("MatMul", change, both), self.number(1 / pde.radius))
        second = self.op("Mul", self.op("MatMul", change, squares), self.number(1 / pde.radius**2))
        diagonal = self.op("Reshape", second, flat)
        return _Found(value, self.op("Reshape", first_derivatives, flat), self.sum_in_space(diagonal), diagonal)

    def sum_in_space(self, diagonal: str) -> str:
        return self.op("ReduceSum", self.cut(diagonal, 0, self.pde.n_space, 1), self.whole([1]), keepdims=1)

    def jets(self, points: str, needs: int, n: int) -> _Found:
        """All directions at once: columns [inputs * n, features], direction by direction."""
        n_inputs, diagonal = self.pde.n_inputs, bool(needs & Need.diagonal)
        value = self.inputs(points)
        first = self.floats(np.repeat(np.eye(n_inputs) * self.plan.input_scale, n, axis=0))
        second = ""
        for layer in self.plan.layers:
            value = self.affine(layer, value, True)
            first = self.affine(layer, first, False)
            second = self.affine(layer, second, False) if second else ""
            if layer.activation == Activation.identity:
                continue
            value, slope, curvature = self.slopes(layer.activation, value)
            width = layer.out_features
            shape = self.whole([n_inputs, n, width])
            first = self.op("Reshape", first, shape)
            squares = self.op("Mul", first, first)
            if not diagonal:
                in_space = self.cut(squares, 0, self.pde.n_space, 0)
                squares = self.op("ReduceSum", in_space, self.whole([0]), keepdims=1)
            bent = self.op("Mul", curvature, squares)
            if second:
                second = self.op("Reshape", second, self.whole([-1, n, width]))
                bent = self.op("Add", bent, self.op("Mul", slope, second))
            second = self.op("Reshape", bent, self.whole([-1, width]))
            first = self.op("Reshape", self.op("Mul", slope, first), self.whole([-1, width]))
        turned = self.op("Transpose", self.op("Reshape", first, self.whole([n_inputs, n])), perm=[1, 0])
        if not second:
            second = self.floats(np.zeros((n_inputs * n if diagonal else n, 1)))
        if not diagonal:
            return _Found(value, turned, second)
        seconds = self.op("Transpose", self.op("Reshape", second, self.whole([n_inputs, n])), perm=[1, 0])
        return _Found(value, turned, self.sum_in_space(seconds), seconds)

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

    def run(self, program: Program, points: str, found: _Found) -> str:
        """The program's result [n, 1]."""
        n, timed = self.pde.n_space, self.pde.has_time

        def space(value: str) -> str:
            return self.cut(value, 0, n, 1) if value else ""

        def time(value: str) -> str:
            return self.cut(value, n, n + 1, 1) if value and timed else self.number(0.0)

        registers = [space(points), time(points), found.value, space(found.first), time(found.first)]
        registers += [found.laplacian, space(found.diagonal), time(found.diagonal)]
        registers += [self.number(value) for value in program.constants]
        for operation, *numbers in program.instructions:
            args = [registers[r] for r in numbers[: operand_count(operation)]]
            registers.append(self.apply(operation, args, numbers[1]))
        # a result that no input reaches still has a row for each point
        return self.op("Add", registers[program.output], self.op("Mul", found.value, self.number(0.0)))

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
