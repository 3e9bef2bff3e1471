# SPDX-License-Identifier: MIT
"""A PDE as a person writes it, and how it becomes data.

problem = pde.Problem(
    space=[(0, 1)] * 10,
    time=(0, 1),
    residual=lambda p: p.u_t - p.lap,
    exact=lambda x, t: ...,
    conditions=[pde.at_start(lambda p: p.u - pde.sum(p.x * p.x)), pde.on_faces(lambda p: p.u - ...)],
)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Derivative, Sampler
from ttzo.exporter.pde.differentiate import Calculus
from ttzo.exporter.pde.expression import Expression, PdeError, add, component, leaf, place, spread, total, wrap
from ttzo.exporter.pde.program import Pde, Program, RowGroup, compile_expression

Function = Callable[..., Any]
PROBES = 4096  # points at which the placing of training points is tried


class Point:
    """What a residual or condition is written with: `x` (vector), `t`, and of the solution `u`, `u_t`, `u_tt`,
    `grad` (vector), `lap` and `second` (vector of unmixed second derivatives)."""

    def __init__(self, u: Expression, x: Expression, t: Expression, calculus: Calculus):
        self.u, self.x, self.t, self._calculus = u, x, t, calculus

    @property
    def u_t(self) -> Expression:
        return self._calculus.in_time(self.u)

    @property
    def u_tt(self) -> Expression:
        return self._calculus.in_time(self.u_t)

    @property
    def grad(self) -> Expression:
        return spread(self._calculus.gradient(self.u), self._calculus.size)

    @property
    def lap(self) -> Expression:
        return total(self._calculus.diagonal(self.u), self._calculus.size)

    @property
    def second(self) -> Expression:
        return spread(self._calculus.diagonal(self.u), self._calculus.size)


@dataclass(frozen=True)
class Condition:
    """Something that should be zero on part of the domain's border, at `rows` random points, `weight` times as heavy
    as a row inside."""

    sampler: Sampler
    holds: Callable[[Point], Any]
    weight: float = 1.0
    rows: int = 20


def on_faces(holds: Callable[[Point], Any], weight: float = 1.0, rows: int = 20) -> Condition:
    """On random faces of the box in space, at any time."""
    return Condition(Sampler.faces, holds, weight, rows)


def at_start(holds: Callable[[Point], Any], weight: float = 1.0, rows: int = 20) -> Condition:
    """At the earliest time."""
    return Condition(Sampler.start, holds, weight, rows)


def at_end(holds: Callable[[Point], Any], weight: float = 1.0, rows: int = 20) -> Condition:
    """At the latest time."""
    return Condition(Sampler.end, holds, weight, rows)


def network_alone(n, x, t):
    """The solution is the network's output."""
    return n


@dataclass(frozen=True)
class Problem:
    """A PDE on a box.

    space: (low, high) of each coordinate; time: (low, high), or None. residual(p): zero inside the box (`Point`).
    solution(n, x, t): u from the network's output n, so that known parts are met exactly (paper section 5).
    exact(x, t): the exact solution, where there is one in elementary functions. Vectors have their coordinates on the
    first axis. The network's inputs are the coordinates in space, then time.
    points(x, t): where training points go that are drawn uniform in the box, (x, t) or, without time, x alone; a vector
    may be a list of its coordinates. They are denser where the function changes slowly: lambda x, t: (x**3, t) puts more
    of them near 0. Validation points stay uniform.
    """

    space: Sequence[tuple[float, float]]
    residual: Callable[[Point], Any]
    time: tuple[float, float] | None = None
    solution: Function = network_alone
    exact: Function | None = None
    conditions: Sequence[Condition] = ()
    rows: int = 100
    points: Function | None = None

    @property
    def n_inputs(self) -> int:
        return len(self.space) + (self.time is not None)


def trace(
    problem: Problem,
    derivative: Derivative | str = Derivative.jet,
    radius: float = 0.1,
    level: int = 3,
    n_pairs: int = 512,
) -> Pde:
    """The problem as data, its derivatives estimated as `derivative` says. Raises `PdeError` naming the line of what
    cannot be traced, or what is inconsistent."""
    try:
        made = _trace(problem, derivative, radius, level, n_pairs)
    except RecursionError:
        raise PdeError("the problem is nested too deeply", "write it in fewer operations") from None
    wrong = made.inconsistency()
    if wrong:
        raise PdeError(f"the problem is inconsistent: {wrong}", "check pde.Problem's arguments")
    return made


def _trace(problem: Problem, derivative: Derivative | str, radius: float, level: int, n_pairs: int) -> Pde:
    size = len(problem.space)
    bounds = [*problem.space, *([problem.time] if problem.time is not None else [])]
    inside = Condition(Sampler.interior, problem.residual, 1.0, problem.rows)
    return Pde(
        n_space=size,
        has_time=problem.time is not None,
        low=tuple(_float32(low) for low, _ in bounds),
        high=tuple(_float32(high) for _, high in bounds),
        groups=tuple(_row_group(problem, condition) for condition in (inside, *problem.conditions)),
        solution=_program("solution", problem.solution(leaf("n", size), *_place(problem))),
        exact=_program("exact", problem.exact(*_place(problem))) if problem.exact else None,
        points=_points(problem),
        derivative=_derivative(derivative),
        radius=_float32(radius),
        level=level,
        n_pairs=n_pairs,
    )


def _float32(value: float) -> float:
    """What a device keeps of it."""
    return float(np.float32(value))


def _place(problem: Problem) -> tuple[Expression, Expression]:
    size = len(problem.space)
    return leaf("x", size), (leaf("t", size) if problem.time is not None else wrap(0.0))


def _derivative(name: Derivative | str) -> Derivative:
    if isinstance(name, str) and name not in Derivative.__members__:
        raise PdeError(f"there is no derivative {name!r}", f"choose one of {', '.join(Derivative.__members__)}")
    return Derivative[name] if isinstance(name, str) else name


def _row_group(problem: Problem, condition: Condition) -> RowGroup:
    x, t = _place(problem)
    u = wrap(problem.solution(leaf("n", len(x)), x, t))
    point = Point(u, x, t, Calculus(len(x)))
    name = getattr(condition.holds, "__name__", "condition")
    if not condition.weight > 0:
        raise PdeError(f"{name} has weight {condition.weight}", "give a positive weight")
    return RowGroup(
        condition.sampler, condition.rows, _float32(math.sqrt(condition.weight)), _program(name, condition.holds(point))
    )


def _points(problem: Problem) -> tuple[Program, ...]:
    if problem.points is None:
        return ()
    size, timed = len(problem.space), problem.time is not None
    x, t = _pair(problem.points(*_place(problem)), timed)
    if isinstance(x, list | tuple):
        if len(x) != size:
            raise PdeError(f"points returns {len(x)} coordinates in space, the problem has {size}", "give one for each")
        x = reduce(add, (place(_scalar("points", each), k, size) for k, each in enumerate(x)))
    space = compile_expression(spread(wrap(x), size))
    made = (space, _program("points", t)) if timed else (space,)
    _require_inside(problem, problem.points)
    return made


def _pair(value: Any, timed: bool) -> tuple[Any, Any]:
    """What `points` returned: the place in space and the time."""
    if not timed:
        return value, 0.0
    if not isinstance(value, tuple) or len(value) != 2:
        raise PdeError("points does not return a pair of place and time", "write points=lambda x, t: (.., ..)")
    return value


def _require_inside(problem: Problem, points: Callable[..., Any]) -> None:
    """Checks with some thousand uniform points that `points` stays inside the box. Raises `PdeError`."""
    size, timed = len(problem.space), problem.time is not None
    low, high = np.array([*problem.space, *([problem.time] if timed else [])], float).T
    uniform = np.random.default_rng(0).uniform(low, high, (PROBES, len(low))).T
    x, t = _pair(points(uniform[:size], uniform[size] if timed else 0.0), timed)
    placed = [np.broadcast_to(x, (size, PROBES)), *([np.broadcast_to(t, (1, PROBES))] if timed else [])]
    slack = 1e-6 * (high - low)[:, None]
    if not ((np.vstack(placed) >= low[:, None] - slack) & (np.vstack(placed) <= high[:, None] + slack)).all():
        raise PdeError("points returns a point outside the domain", "its values must lie in the box of space and time")


def _scalar(name: str, value: Any) -> Expression:
    if isinstance(value, list | tuple):
        raise PdeError(
            f"{name} returns {len(value)} values, not one number",
            "a problem is one equation for one unknown u; each further condition is an entry of conditions",
        )
    e = wrap(value)
    if e.size == 1:
        e = component(e, 0)
    if e.size is not None:
        raise PdeError(
            f"{name} returns a vector of {e.size} coordinates, not one number", "use pde.sum, or a coordinate"
        )
    return e


def _program(name: str, value: Any) -> Program:
    return compile_expression(_scalar(name, value))
