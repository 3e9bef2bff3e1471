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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Derivative, Operation, Sampler
from ttzo.exporter.pde import probe
from ttzo.exporter.pde.check import called, line_of, line_of_caller, require_bounds, require_count, require_weight
from ttzo.exporter.pde.condition import Condition, Unknown, faces_of, float32, require_faces
from ttzo.exporter.pde.differentiate import Calculus
from ttzo.exporter.pde.expression import (
    Expression,
    PdeError,
    add,
    component,
    leaf,
    place,
    spread,
    wrap,
)
from ttzo.exporter.pde.point import OWN, Point, outward_normal
from ttzo.exporter.pde.program import Network, Pde, Program, RowGroup, compile_expression

Function = Callable[..., Any]
PROBES = 4096  # points at which the placing of training points is tried
WIDE = 1e4  # largest coordinate without a remark
FEW = 0.005  # share of points at which a residual may be undefined: single points of a border


def network_alone(n, x, t):
    """The solution is the network's output."""
    return n


@dataclass(frozen=True)
class Problem:
    """A PDE on a box.

    space: (low, high) of each coordinate; time: (low, high), or None. residual(p): zero inside the box (`Point`), a list
    of several for a system, each at `rows` points. fields: the names of the unknown functions, one for each output of the
    network. solution(n, x, t): u from the network's output n, so that known parts are met exactly (paper section 5); of
    several fields n is the tuple of the outputs, and so is what is returned. exact(x, t): the exact solution, where there
    is one in elementary functions; a tuple for several fields. Vectors have their coordinates on the
    first axis. unknowns: constants to be found, by name: `p.k` in a residual; a number is a positive start. The network's inputs are the coordinates in space, then time.
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
    fields: Sequence[str] = ("u",)
    unknowns: Mapping[str, Unknown | float] = field(default_factory=dict)
    line: str = field(default="", repr=False, compare=False)  # where the person wrote it: `file.py:7: `

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", self.line or line_of_caller())

    def with_rows(self, rows: int | None) -> "Problem":
        """The problem with so many rows a batch, its kinds of rows in the same proportions; None: as it is."""
        if rows is None:
            return self
        share = rows / (self.rows + sum(condition.rows for condition in self.conditions))
        conditions = [replace(each, rows=max(1, round(each.rows * share))) for each in self.conditions]
        return replace(self, rows=max(1, rows - sum(each.rows for each in conditions)), conditions=conditions)

    @property
    def n_inputs(self) -> int:
        return len(self.space) + (self.time is not None)


def trace(
    problem: Problem,
    derivative: Derivative | str = Derivative.jet,
    radius: float = 0.1,
    level: int = 3,
    n_pairs: int = 512,
    n_sampled: int = 16,
) -> Pde:
    """The problem as data, its derivatives estimated as `derivative` says. Raises `PdeError` naming the line of what
    cannot be traced, or what is inconsistent."""
    estimated = _derivative(derivative)
    try:
        made = _trace(problem, estimated, radius, level, n_pairs, n_sampled)
        if wrong := made.inconsistency():
            raise PdeError(f"the problem is inconsistent: {wrong}", "check pde.Problem's arguments")
    except RecursionError:
        raise PdeError(f"{problem.line}the problem is nested too deeply", "write it in fewer operations") from None
    except PdeError as error:
        raise PdeError(problem.line * (".py:" not in str(error)) + str(error), error.hint) from None
    return made


def _trace(problem: Problem, derivative: Derivative, radius: float, level: int, n_pairs: int, n_sampled: int) -> Pde:
    _require_arguments(problem)
    size = len(problem.space)
    low, high = _box(problem)
    n_sampled = n_sampled if derivative == Derivative.sampled_jet else 0
    network = Network(len(problem.fields), size if n_sampled else 0)
    inside = Condition(Sampler.interior, problem.residual, 1.0, problem.rows)
    solution = _solution(problem)
    groups = [_row_groups(problem, each, solution, network) for each in (inside, *problem.conditions)]
    made = Pde(
        n_space=size,
        has_time=problem.time is not None,
        low=low,
        high=high,
        groups=tuple(group for each in groups for group in each),
        solution=tuple(_compiled("solution", each, network) for each in solution),
        exact=_exact(problem, network),
        points=_points(problem),
        directions=network.directions,
        vectors=tuple(network.vectors),
        units=tuple(_unit(each) for each in _unknowns(problem).values()),
        readings=_readings(problem),
        derivative=derivative,
        radius=float32(radius),
        level=level,
        n_pairs=n_pairs,
        n_sampled=n_sampled,
    )
    if not all(each.condition.reads_network for each in groups[0]):
        raise PdeError(
            f"{line_of(problem.residual)}the residual does not contain {' or '.join(problem.fields)}",
            "write what should be zero, with p.u or its derivatives",
        )
    read = {k for each in made.groups for how, k, *_ in each.condition.instructions if how == Operation.unknown}
    for number, name in enumerate(problem.unknowns):
        if number not in read:
            raise PdeError(
                f"neither the residual nor a condition contains the unknown constant {name}",
                f"write p.{name} where it stands, or leave it out of unknowns",
            )
    return made


def _box(problem: Problem) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper bounds of space, then time, as a device keeps them."""
    bounds = [*problem.space, *([problem.time] if problem.time is not None else [])]
    return tuple(float32(low) for low, _ in bounds), tuple(float32(high) for _, high in bounds)


def _require_arguments(problem: Problem) -> None:
    space = problem.space
    if not isinstance(space, list | tuple) or not space:
        raise PdeError(
            f"space is {space!r}, no coordinate",
            "write space=[(low, high), ...]; an equation in one variable alone has it as its coordinate, without time",
        )
    for index, bounds in enumerate(space):
        require_bounds(f"coordinate {index} of space", bounds, "space=[(0, 1)], a pair for each coordinate")
    if problem.time is not None:
        require_bounds("time", problem.time, "time=(0, 1), or leave it out")
    require_count("rows", problem.rows)
    _require_fields(problem.fields)
    _require_unknowns(problem)
    if not isinstance(problem.conditions, list | tuple):
        raise PdeError(f"conditions is a {type(problem.conditions).__name__}, not a list", "write conditions=[...]")
    for index, condition in enumerate(problem.conditions):
        if not isinstance(condition, Condition):
            raise PdeError(
                f"{line_of(condition)}condition {index} is a {type(condition).__name__}",
                "wrap it: pde.on_faces(..), pde.at_start(..), pde.at_end(..) or pde.at_readings(..)",
            )
        require_count(f"rows of condition {index}", condition.rows)
        require_faces(index, condition, len(space))
        require_weight(f"condition {index}", condition.weight)
        if problem.time is None and condition.sampler in (Sampler.start, Sampler.end):
            raise PdeError(f"condition {index} is one of time, which the problem lacks", "give time=(low, high)")


def _unknowns(problem: Problem) -> dict[str, Unknown]:
    return {name: each if isinstance(each, Unknown) else Unknown(each) for name, each in problem.unknowns.items()}


def unknown_starts(problem: Problem) -> np.ndarray:
    """Parameters of the unknown constants where the search starts, float32."""
    made = _unknowns(problem).values()
    return np.array([math.log(each.start) if each.log else math.copysign(1, each.start) for each in made], np.float32)


def _unit(unknown: Unknown) -> float:
    """The contract's unit of a constant."""
    return 0.0 if unknown.log else float32(abs(unknown.start))


def _require_unknowns(problem: Problem) -> None:
    if not isinstance(problem.unknowns, Mapping):
        raise PdeError(
            f"unknowns is a {type(problem.unknowns).__name__}, not a dictionary", 'write unknowns={"k": 1.0}'
        )
    for name, each in problem.unknowns.items():
        if not isinstance(name, str) or not name.isidentifier() or name in (*OWN, *problem.fields):
            raise PdeError(f"an unknown constant is called {name!r}", "give it a name of its own")
        start = each.start if isinstance(each, Unknown) else each
        is_log = each.log if isinstance(each, Unknown) else True
        if isinstance(start, bool) or not isinstance(start, int | float) or not math.isfinite(start) or not start:
            raise PdeError(f"the unknown constant {name} starts at {start!r}", "give a number other than 0")
        if is_log and start < 0:
            raise PdeError(
                f"the unknown constant {name} starts at {start:g}, and its logarithm is fitted",
                f"write pde.Unknown({start:g}, log=False)",
            )


def _readings(problem: Problem) -> tuple[tuple[float, ...], ...]:
    """The lines of the one condition that has readings. Raises `PdeError`."""
    found = [each.readings for each in problem.conditions if each.sampler == Sampler.readings]
    if len(found) > 1:
        raise PdeError("two conditions have readings", "put what was measured into one table, a column for each number")
    lines = found[0] if found else ()
    if lines and len(lines[0]) <= problem.n_inputs:
        raise PdeError(
            f"a reading has {len(lines[0])} numbers, the point alone has {problem.n_inputs}",
            "give each line its coordinates, its time and what was measured",
        )
    return lines


def _require_fields(fields: Any) -> None:
    if isinstance(fields, str) or not isinstance(fields, list | tuple) or not fields:
        raise PdeError(f"fields is {fields!r}, not a list of names", 'write fields=["u", "v"]')
    for name in fields:
        if not isinstance(name, str) or not name.isidentifier() or "_" in name or name in OWN:
            raise PdeError(f"a field is called {name!r}", f"give it letters other than {', '.join(OWN)}")
    if len(set(fields)) < len(fields):
        raise PdeError(f"two fields have one name: {', '.join(fields)}", "give each its own")


def _solution(problem: Problem) -> tuple[Expression, ...]:
    """The fields as functions of the network's outputs."""
    outputs = tuple(leaf("n", len(problem.space), k) for k in range(len(problem.fields)))
    n = outputs[0] if len(outputs) == 1 else outputs
    return _of_fields(
        problem,
        "solution",
        problem.solution,
        called("solution", problem.solution, n, *_place(problem), names="n, x, t"),
    )


def _of_fields(problem: Problem, what: str, function: Function, value: Any) -> tuple[Expression, ...]:
    """An expression for each field."""
    name = f"{line_of(function)}{what}"
    if len(problem.fields) == 1:
        return (_scalar(name, value),)
    if not isinstance(value, list | tuple) or len(value) != len(problem.fields):
        n = len(value) if isinstance(value, list | tuple) else 1
        raise PdeError(
            f"{name} returns {n} values for the fields {', '.join(problem.fields)}", "return a tuple, one for each"
        )
    return tuple(_scalar(name, each) for each in value)


def _exact(problem: Problem, network: Network) -> tuple[Program, ...] | None:
    """Its programs; None where there is none, or where it is not finite (`why_no_exact`)."""
    if problem.exact is None:
        return None
    value = called("exact", problem.exact, *_place(problem), names="x, t")
    made = tuple(
        _compiled(f"{line_of(problem.exact)}exact", each, network)
        for each in _of_fields(problem, "exact", problem.exact, value)
    )
    return None if _bad_share(problem) else made


def _bounds(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array([*problem.space, *([problem.time] if problem.time is not None else [])], float).T
    return low, high


def _bad_share(problem: Problem) -> float:
    place = probe.points(*_bounds(problem), len(problem.space), Sampler.interior)
    return probe.not_finite_exact(problem.exact, *place) if problem.exact else 0.0


def why_no_exact(problem: Problem) -> str:
    """What a person should know of an exact solution that is left out; "" where nothing is."""
    share = _bad_share(problem)
    return (
        f"exact is not finite at {100 * share:.3g} % of random points: it is left out, so that the solution's error is not "
        "measured; correct it, or give points with values by --data"
        if share
        else ""
    )


def why_scale(problem: Problem) -> str:
    """What a person should know of a domain whose coordinates are far from what a network takes; "" for others."""
    largest = float(np.max(np.abs(_bounds(problem))))
    if largest <= WIDE:
        return ""
    return f"coordinates go up to {largest:.3g}: a network trains on inputs of about 1, so write the equation in scaled space and time"


def _place(problem: Problem) -> tuple[Expression, Expression]:
    size = len(problem.space)
    return leaf("x", size), (leaf("t", size) if problem.time is not None else wrap(0.0))


def _derivative(name: Derivative | str) -> Derivative:
    if isinstance(name, str) and name not in Derivative.__members__:
        raise PdeError(f"there is no derivative {name!r}", f"choose one of {', '.join(Derivative.__members__)}")
    return Derivative[name] if isinstance(name, str) else name


def _row_groups(
    problem: Problem, condition: Condition, solution: tuple[Expression, ...], network: Network
) -> list[RowGroup]:
    """A group for each thing that a residual or condition says is zero."""
    x, t = _place(problem)
    size, faces = len(x), faces_of(condition, len(x))
    low, high = _box(problem)
    normal = outward_normal(x, low[:size], high[:size], faces) if condition.sampler == Sampler.faces else None
    fields = dict(zip(problem.fields, solution, strict=True))
    lines = _readings(problem) if condition.sampler == Sampler.readings else ()
    n_measured = len(lines[0]) - problem.n_inputs if lines else 0
    point = Point(
        fields,
        x,
        t if problem.time is not None else None,
        Calculus(size),
        normal,
        {name: Expression("unknown", index=k) for k, name in enumerate(problem.unknowns)},
        tuple(Expression("measured", index=k) for k in range(n_measured)),
    )
    name = "residual" if condition.sampler == Sampler.interior else "condition"
    value = called(name, condition.holds, point, names="p")
    made = [
        _program(f"{line_of(condition.holds)}{name}", each, network)
        for each in (value if isinstance(value, list | tuple) else [value])
    ]
    if not made:
        raise PdeError(f"{line_of(condition.holds)}{name} returns nothing", "return what should be zero")
    place = probe.points(*_bounds(problem), size, condition.sampler)
    share = probe.not_finite(condition.holds, *place, tuple(problem.fields), tuple(problem.unknowns))
    if share > FEW:
        raise PdeError(
            f"{line_of(condition.holds)}{name} is not finite at {100 * share:.3g} % of its points, whatever u is",
            "look for logarithms, roots and powers of negative numbers and divisions by zero",
        )
    root_weight, first = float32(math.sqrt(condition.weight)), faces[0] if faces else 0
    return [RowGroup(condition.sampler, condition.rows, root_weight, each, first, len(faces)) for each in made]


def _points(problem: Problem) -> tuple[Program, ...]:
    if problem.points is None:
        return ()
    size, timed = len(problem.space), problem.time is not None
    x, t = _pair(called("points", problem.points, *_place(problem), names="x, t"), timed)
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
            "give one number",
        )
    e = wrap(value)
    if e.size == 1:
        e = component(e, 0)
    if e.size is not None:
        raise PdeError(
            f"{name} returns a vector of {e.size} coordinates, not one number", "use pde.sum, or a coordinate"
        )
    return e


def _program(name: str, value: Any, network: Network | None = None) -> Program:
    return _compiled(name, _scalar(name, value), network)


def _compiled(name: str, scalar: Expression, network: Network | None) -> Program:
    try:
        return compile_expression(scalar, network)
    except PdeError as error:
        raise PdeError(f"{name}: {error}", error.hint) from None
