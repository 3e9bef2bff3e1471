# SPDX-License-Identifier: MIT
"""What a residual or a condition is written with: a point, and the solution's derivatives there."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from ttzo.exporter.pde.differentiate import Calculus
from ttzo.exporter.pde.expression import (
    Expression,
    add,
    less,
    multiply,
    place,
    refusal,
    spread,
    subtract,
    total,
    wrap,
)

KNOWN = "x, t, grad, second, lap, d, gradient, laplacian and normal"
OWN = ("first", "measured", "x", "t", "grad", "second", "lap", "d", "gradient", "laplacian", "normal", "n")
ENDINGS = ("t", "tt", "n")  # of a field's name: in time, twice in time, along the outward normal


class Point:
    """What a residual or condition is written with: `x` (vector), `t`, and of each field by name (`u` where none is given)
    `u`, `u_t`, `u_tt` and on faces `u_n`; of the first field `grad` (vector), `lap` and `second` (vector of unmixed second
    derivatives). `d`, `gradient` and `laplacian` differentiate any expression."""

    def __init__(
        self,
        fields: Mapping[str, Expression],
        x: Expression,
        t: Expression | None,
        calculus: Calculus,
        normal: Expression | None = None,
        unknowns: Mapping[str, Expression] | None = None,
        measured: tuple[Expression, ...] = (),
    ):
        self._unknowns, self._measured = dict(unknowns or {}), measured
        self._fields, self.x, self._t, self._calculus, self._normal = dict(fields), x, t, calculus, normal
        self._first = next(iter(self._fields.values()))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._fields or name in self._unknowns:
            return (self._fields | self._unknowns)[name]
        field, _, ending = name.rpartition("_")
        if field in self._fields and ending in ENDINGS:
            return self._named_derivative(self._fields[field], name, ending)
        hint = f"derivatives in space are p.grad[0], p.second[0], ..; mixed and third ones p.d(p.{field}, 0, 1), .."
        is_derivative = field in self._fields and set(ending) <= set("xyzt012")
        raise refusal(
            f"a point has no `{name}`",
            hint if is_derivative else f"it has {', '.join([*self._fields, *self._unknowns])}, {KNOWN}",
        )

    def _named_derivative(self, e: Expression, name: str, ending: str) -> Expression:
        if ending == "n":
            return total(multiply(self._outward(name), self.gradient(e)), self._calculus.size)
        self._require_time(name)
        once = self._calculus.in_time(e)
        return once if ending == "t" else self._calculus.in_time(once)

    def _require_time(self, name: str) -> None:
        if self._t is None:
            raise refusal(f"a problem without time has no {name}", "give the problem time=(low, high), or leave it out")

    def _outward(self, name: str) -> Expression:
        if self._normal is None:
            raise refusal(f"there is no normal for {name} here", "write it in a condition of pde.on_faces")
        return self._normal

    @property
    def t(self) -> Expression:
        self._require_time("t")
        return cast(Expression, self._t)

    @property
    def measured(self) -> tuple[Expression, ...]:
        """What was measured at a reading, number by number."""
        if not self._measured:
            raise refusal("nothing is measured here", "write p.measured in a condition of pde.at_readings")
        return self._measured

    @property
    def normal(self) -> Expression:
        """The outward normal of a face, a vector."""
        return self._outward("normal")

    @property
    def first(self) -> Expression:
        """The first field."""
        return self._first

    @property
    def grad(self) -> Expression:
        return self.gradient(self._first)

    @property
    def lap(self) -> Expression:
        return self.laplacian(self._first)

    @property
    def second(self) -> Expression:
        return spread(self._calculus.diagonal(self._first), self._calculus.size)

    # ---- of any expression

    def d(self, e: Any, *along: int | str) -> Expression:
        """The derivative of an expression by coordinates in space (numbers from 0) and time ("t"), one after the other."""
        e = wrap(e)
        if not along:
            raise refusal("d is given no coordinate", 'write p.d(p.u, 0), p.d(p.u, 0, 1) or p.d(p.u, "t")')
        for i in along:
            e = self._calculus.partial(e, self._input(i))
        return e

    def _input(self, i: Any) -> int:
        size = self._calculus.size
        if i == "t" if isinstance(i, str) else i is self._t and i is not None:
            self._require_time("t")
            return size
        if not isinstance(i, int | np.integer) or isinstance(i, bool) or not -size <= i < size:
            raise refusal(f"there is no coordinate {i!r} among {size}", 'coordinates count from 0; time is "t"')
        return int(i) % size

    def gradient(self, e: Any) -> Expression:
        """The first derivatives of an expression in space, a vector."""
        return spread(self._calculus.gradient(wrap(e)), self._calculus.size)

    def laplacian(self, e: Any) -> Expression:
        """The sum of the second derivatives of an expression in space."""
        return total(self._calculus.diagonal(wrap(e)), self._calculus.size)


def outward_normal(x: Expression, low: tuple[float, ...], high: tuple[float, ...], faces: range) -> Expression:
    """The outward normal at a point of those faces of the box (2 i: lower, 2 i + 1: upper bound of coordinate i): a
    vector that is 1 or -1 where a coordinate is at a bound, and 0 elsewhere."""
    size = len(low)
    if len(faces) == 1:
        return place(wrap(1.0 if faces[0] % 2 else -1.0), faces[0] // 2, size)
    inside = [i for i in range(size) if 2 * i not in faces]

    def bounds(values: tuple[float, ...], far: float) -> Expression:
        """A vector; `far` where no face is asked for, so that no point is at it."""
        kept = [far if i in inside else value for i, value in enumerate(values)]
        if len(set(kept)) == 1:
            return wrap(kept[0])
        vector = wrap(0.0)
        for i, value in enumerate(kept):
            vector = add(vector, place(wrap(value), i, size))
        return vector

    is_below = less(x, bounds(high, max(high) + 1.0))
    is_above = less(bounds(low, min(low) - 1.0), x)
    return subtract(is_above, is_below)
