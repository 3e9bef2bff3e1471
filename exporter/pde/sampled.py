# SPDX-License-Identifier: MIT
"""Equations whose derivatives are sampled: sums over the coordinates become what a few random directions estimate, or one
derivative in a direction that the point gives.

A sum of second derivatives is the program input `lap`, a sum of products of first derivatives `gradient_product`; both are
estimates without bias. A sum of known numbers times first derivatives is the derivative along the vector of these numbers,
and a single coordinate's derivative that along the coordinate: both are exact, and cost one direction each.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ttzo.exporter.pde.expression import (
    ONE,
    ZERO,
    Expression,
    PdeError,
    add,
    divide,
    is_number,
    leaf,
    multiply,
    negate,
    total,
)

VECTORS = ("n_x", "n_xx")
Along = Callable[[int, int | Expression, int], Expression]  # output, an input's number or a vector, order


@dataclass(frozen=True)
class _Term:
    """A scalar times a vector that knows no derivative, times vectors of derivatives coordinate by coordinate."""

    scalar: Expression
    vector: Expression
    derivatives: tuple[Expression, ...]

    def times(self, other: "_Term") -> "_Term":
        return _Term(
            multiply(self.scalar, other.scalar),
            multiply(self.vector, other.vector),
            self.derivatives + other.derivatives,
        )


class Sampling:
    """Rewrites expressions over `size` coordinates in space. `along` makes the expression of a derivative in a direction."""

    def __init__(self, size: int, along: Along):
        self.size, self._along = size, along
        self._made: dict[Expression, Expression] = {}
        self._holds: dict[Expression, bool] = {}
        self._of_point: dict[Expression, bool] = {}

    def lowered(self, e: Expression) -> Expression:
        """The expression without vectors of derivatives. Raises `PdeError` where that is not possible."""
        if e not in self._made:
            self._made[e] = self._lower(e)
        return self._made[e]

    def _lower(self, e: Expression) -> Expression:
        if e.operation == "input":
            if e.name in VECTORS:
                raise _refused("a vector of derivatives outside a sum")
            return self._along(e.index, self.size, 2) if e.name == "n_tt" else e
        if e.operation == "derivative":
            raise _refused("a mixed or third derivative")
        if e.operation == "component" and e.args[0].operation == "input" and e.args[0].name in VECTORS:
            v = e.args[0]
            return self._along(v.index, e.index, 1 + VECTORS.index(v.name))
        if e.operation == "sum" and self._holds_derivatives(e.args[0]):
            result = ZERO
            for term in self._terms(e.args[0]):
                result = add(result, multiply(term.scalar, self._sum(term)))
            return result
        args = tuple(self.lowered(arg) for arg in e.args)
        same = all(a is b for a, b in zip(args, e.args, strict=True))
        return e if same else Expression(e.operation, args, e.name, e.value, e.index, e.size, e.along)

    def _holds_derivatives(self, v: Expression) -> bool:
        """Whether a vector of derivatives is in it, outside sums and components."""
        if v not in self._holds:
            own = v.operation == "input" and v.name in VECTORS
            inside = v.size is not None and any(self._holds_derivatives(arg) for arg in v.args)
            self._holds[v] = own or inside
        return self._holds[v]

    def _is_of_point(self, e: Expression) -> bool:
        """Whether it is known from the point alone."""
        if e not in self._of_point:
            own = e.operation == "constant" or (e.operation == "input" and e.name in ("x", "t"))
            known = own or (bool(e.args) and all(self._is_of_point(arg) for arg in e.args))
            self._of_point[e] = known
        return self._of_point[e]

    def _terms(self, v: Expression) -> list[_Term]:
        """The terms whose sum is a vector or scalar."""
        if v.size is None:
            return [_Term(self.lowered(v), ONE, ())]
        if self._is_of_point(v):
            return [_Term(ONE, v, ())]
        args = [self._terms(arg) for arg in v.args]
        match v.operation:
            case "input":
                return [_Term(ONE, ONE, (v,))]
            case "spread":
                return args[0]
            case "divide" if v.args[1].size is None:
                return [t.times(_Term(divide(1.0, self.lowered(v.args[1])), ONE, ())) for t in args[0]]
            case "add":
                return args[0] + args[1]
            case "subtract":
                return args[0] + [_Term(negate(t.scalar), t.vector, t.derivatives) for t in args[1]]
            case "negate":
                return [_Term(negate(t.scalar), t.vector, t.derivatives) for t in args[0]]
            case "multiply":
                return [a.times(b) for a in args[0] for b in args[1]]
        what = "derivatives" if self._holds_derivatives(v) else "the solution or unknown constants"
        raise _refused(f"`{v.operation}` of a vector of {what}")

    def _sum(self, term: _Term) -> Expression:
        """The sum over the coordinates of a term's vectors."""
        names = [each.name for each in term.derivatives]
        if not names:
            return total(term.vector, self.size)
        output = term.derivatives[0].index
        if names == ["n_x"]:
            return self._along(output, term.vector, 1)
        if not is_number(term.vector):
            raise _refused("a sum of second derivatives or of squares of first ones with weights that differ")
        if names == ["n_xx"]:
            return multiply(term.vector, leaf("lap", self.size, output))
        if names == ["n_x", "n_x"]:
            outputs = tuple(sorted(each.index for each in term.derivatives))
            return multiply(term.vector, Expression("gradient_product", along=outputs))
        raise _refused("a sum of products of three or more derivatives, or of second ones")


def _refused(what: str) -> PdeError:
    return PdeError(
        f"{what} cannot be sampled",
        "sampled_jet knows p.lap, p.u_t, p.u_tt, single coordinates, and pde.sum of known numbers times p.grad or of "
        "p.grad * p.grad; else leave out --derivative sampled_jet",
    )
