# SPDX-License-Identifier: MIT
"""Exact derivatives of traced expressions: in time, in space as far as the diagonal of second derivatives, and one by one
to the third order (`partial`).

The network's output n is a function of (x, t) whose derivatives are inputs of the program. A vector v depends on the
point in two ways: coordinate i on x_i, and every coordinate on scalars. Its Jacobian is therefore kept as
diag(p) + sum_k q_k grad(s_k)^T, with vectors p, q_k and scalars s_k.
"""

import dataclasses

from ttzo.device_runtime.contract import LIMIT
from ttzo.exporter.pde.expression import (
    ONE,
    ZERO,
    Expression,
    add,
    component,
    constant,
    divide,
    leaf,
    multiply,
    negate,
    place,
    refusal,
    spread,
    subtract,
    total,
    where,
)

Terms = list[tuple[Expression, Expression]]


def _partials(e: Expression) -> Terms:
    """(argument, derivative with respect to it) of an operation that acts coordinate by coordinate."""
    a, *rest = e.args
    b = rest[0] if rest else ZERO
    match e.operation:
        case "add":
            return [(a, ONE), (b, ONE)]
        case "subtract":
            return [(a, ONE), (b, constant(-1.0))]
        case "multiply":
            return [(a, b), (b, a)]
        case "divide":
            return [(a, divide(1.0, b)), (b, negate(divide(e, b)))]
        case "negate":
            return [(a, constant(-1.0))]
        case "less":
            return []
        case "select":
            return [(b, where(a, ONE, ZERO)), (rest[1], where(a, ZERO, ONE))]
        case "sqrt":
            return [(a, divide(0.5, e))]
        case "exp":
            return [(a, e)]
        case "expm1":
            return [(a, add(e, 1.0))]
        case "log":
            return [(a, divide(1.0, a))]
        case "log1p":
            return [(a, divide(1.0, add(a, 1.0)))]
        case "sin":
            return [(a, Expression("cos", (a,), size=a.size))]
        case "cos":
            return [(a, negate(Expression("sin", (a,), size=a.size)))]
        case "tanh":
            return [(a, subtract(1.0, multiply(e, e)))]
        case "atan":
            return [(a, divide(1.0, add(1.0, multiply(a, a))))]
        case "atan2":
            square = add(multiply(a, a), multiply(b, b))
            return [(a, divide(b, square)), (b, negate(divide(a, square)))]
    raise AssertionError(e.operation)


def _unknown(what: str) -> Exception:
    return refusal(f"{what} is not supported", "write p.d(expression, 0, 1) for one mixed or third derivative")


class Calculus:
    """Derivatives over `size` coordinates in space, each expression differentiated once."""

    def __init__(self, size: int):
        self.size = size
        self._in_time: dict[Expression, Expression] = {}
        self._gradients: dict[Expression, Expression] = {}
        self._jacobians: dict[Expression, tuple[Expression, Terms]] = {}
        self._partials: dict[tuple[Expression, int], Expression] = {}

    def in_time(self, e: Expression) -> Expression:
        """de/dt, a vector for a vector."""
        if e not in self._in_time:
            self._in_time[e] = self._make_in_time(e)
        return self._in_time[e]

    def _make_in_time(self, e: Expression) -> Expression:
        if e.operation in ("constant", "unknown", "measured"):
            return ZERO
        if e.operation == "input":
            known = {"x": ZERO, "t": ONE, "n": leaf("n_t", self.size, e.index), "n_t": leaf("n_tt", self.size, e.index)}
            return known[e.name] if e.name in known else self.partial(e, self.size)
        if e.operation == "derivative":
            return self.partial(e, self.size)
        if e.operation == "sum":
            return total(self.in_time(e.args[0]), self.size)
        if e.operation == "component":
            return component(self.in_time(e.args[0]), e.index)
        if e.operation == "shift":
            return dataclasses.replace(e, args=(spread(self.in_time(e.args[0]), self.size),))
        if e.operation == "place":
            return place(self.in_time(e.args[0]), e.index, self.size)
        if e.operation == "spread":
            return self.in_time(e.args[0])
        return _combine((multiply(w, self.in_time(a)) for a, w in _partials(e)))

    def gradient(self, e: Expression) -> Expression:
        """The gradient of a scalar in space: a vector, or a scalar where all coordinates are equal."""
        if e not in self._gradients:
            self._gradients[e] = self._make_gradient(e)
        return self._gradients[e]

    def _make_gradient(self, e: Expression) -> Expression:
        if e.operation in ("constant", "unknown", "measured"):
            return ZERO
        if e.operation == "input":
            if e.name not in ("t", "n"):
                return self._gradient_of_partials(e)
            return leaf("n_x", self.size, e.index) if e.name == "n" else ZERO
        if e.operation == "derivative":
            return self._gradient_of_partials(e)
        if e.operation == "sum":
            p, terms = self.jacobian(e.args[0])
            return _combine([p, *(multiply(total(q, self.size), self.gradient(s)) for q, s in terms)])
        if e.operation == "component":
            p, terms = self.jacobian(e.args[0])
            own = place(component(p, e.index), e.index, self.size)
            return _combine([own, *(multiply(component(q, e.index), self.gradient(s)) for q, s in terms)])
        return _combine(multiply(w, self.gradient(a)) for a, w in _partials(e))

    def jacobian(self, v: Expression) -> tuple[Expression, Terms]:
        """diag(p) + sum of q grad(s)^T for a vector, or a scalar that stands for equal coordinates."""
        if v not in self._jacobians:
            self._jacobians[v] = self._make_jacobian(v)
        return self._jacobians[v]

    def _make_jacobian(self, v: Expression) -> tuple[Expression, Terms]:
        if v.size is None:
            return ZERO, [(ONE, v)]
        if v.operation == "input":
            if v.name == "n_xx":
                raise _unknown("the gradient of a vector of second derivatives")
            return (ONE if v.name == "x" else leaf("n_xx", self.size, v.index)), []
        if v.operation == "shift":
            raise refusal(
                "derivatives of a shifted vector are not supported",
                "shift known vectors only, in residual, conditions or exact",
            )
        if v.operation == "place":
            return ZERO, [(place(ONE, v.index, self.size), v.args[0])]
        if v.operation == "spread":
            return ZERO, [(ONE, v.args[0])]
        diagonal, terms = ZERO, []
        for a, w in _partials(v):
            p, inner = self.jacobian(a)
            diagonal = add(diagonal, multiply(w, p))
            terms += [(multiply(w, q), s) for q, s in inner]
        return diagonal, terms

    def partial(self, e: Expression, i: int) -> Expression:
        """The derivative of a scalar, or of every coordinate of a vector, by input number i: time is input `size`."""
        if (e, i) not in self._partials:
            self._partials[e, i] = self._make_partial(e, i)
        return self._partials[e, i]

    def _make_partial(self, e: Expression, i: int) -> Expression:
        if e.operation in ("constant", "unknown", "measured"):
            return ZERO
        if e.operation == "input":
            return self._partial_of_input(e, i)
        if e.operation == "derivative":
            return self.derivative(e.index, (*e.along, i))
        if e.operation == "component" and e.args[0].operation == "input" and e.args[0].name in ("n_x", "n_xx"):
            v = e.args[0]
            return self.derivative(v.index, (e.index,) * (1 if v.name == "n_x" else 2) + (i,))
        if e.operation == "sum":
            return total(self.partial(e.args[0], i), self.size)
        if e.operation == "component":
            return component(self.partial(e.args[0], i), e.index)
        if e.operation == "shift":
            return dataclasses.replace(e, args=(spread(self.partial(e.args[0], i), self.size),))
        if e.operation == "place":
            return place(self.partial(e.args[0], i), e.index, self.size)
        if e.operation == "spread":
            return self.partial(e.args[0], i)
        return _combine(multiply(w, self.partial(a, i)) for a, w in _partials(e))

    def _partial_of_input(self, e: Expression, i: int) -> Expression:
        t, coordinates = self.size, range(self.size)
        match e.name:
            case "x":
                return place(ONE, i, self.size) if i < t else ZERO
            case "t":
                return ONE if i == t else ZERO
            case "n":
                return self.derivative(e.index, (i,))
            case "n_t":
                return self.derivative(e.index, (t, i))
            case "n_tt":
                return self.derivative(e.index, (t, t, i))
            case "lap":
                return _combine(self.derivative(e.index, (k, k, i)) for k in coordinates)
        order = 1 if e.name == "n_x" else 2
        return _combine(place(self.derivative(e.index, (k,) * order + (i,)), k, self.size) for k in coordinates)

    def derivative(self, output: int, along: tuple[int, ...]) -> Expression:
        """The network's output differentiated by those inputs."""
        first, last, t = min(along), max(along), self.size
        if len(along) == 1:
            return leaf("n_t", t, output) if first == t else component(leaf("n_x", t, output), first)
        if len(along) == 2 and first == last:
            return leaf("n_tt", t, output) if first == t else component(leaf("n_xx", t, output), first)
        if len(along) > LIMIT["max_order"] or len(set(along)) > 2:
            raise refusal(
                f"a derivative of order {len(along)}"
                + (" in three inputs" if len(along) == LIMIT["max_order"] else "")
                + " is not supported",
                "give the problem a further field for a lower derivative, and the equation that ties both",
            )
        return Expression("derivative", index=output, along=tuple(sorted(along)))

    def _gradient_of_partials(self, e: Expression) -> Expression:
        return _combine(place(self.partial(e, k), k, self.size) for k in range(self.size))

    def diagonal(self, e: Expression) -> Expression:
        """The unmixed second derivatives of a scalar in space, one for each coordinate."""
        p, terms = self.jacobian(spread(self.gradient(e), self.size))
        return _combine([p, *(multiply(q, self.gradient(s)) for q, s in terms)])


def _combine(terms) -> Expression:
    result = ZERO
    for term in terms:
        result = add(result, term)
    return result
