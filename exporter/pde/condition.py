# SPDX-License-Identifier: MIT
"""What a problem says beside its equation: conditions on the border, readings, and constants to be found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Sampler
from ttzo.exporter.pde.check import line_of_caller
from ttzo.exporter.pde.expression import Expression, PdeError
from ttzo.exporter.pde.point import Point


def float32(value: float) -> float:
    """What a device keeps of it."""
    return float(np.float32(value))


@dataclass(frozen=True)
class Condition:
    """Something that should be zero on part of the domain's border, or several such things, each at `rows` random points,
    `weight` times as heavy as a row inside. `axis` and `side` ("low" or "high") choose faces."""

    sampler: Sampler
    holds: Callable[[Point], Any]
    weight: float = 1.0
    rows: int = 20
    axis: int | None = None
    side: str | None = None
    readings: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Unknown:
    """A constant to be found: where the search starts, and whether its logarithm is fitted, which suits every positive
    constant. One of either sign starts at a value of its size."""

    start: float
    log: bool = True


def at_readings(
    readings: Any,
    holds: Callable[[Point], Any] | None = None,
    weight: float = 1.0,
    rows: int | None = None,
) -> Condition:
    """Where something was measured: `readings` is an array with a line for each reading, its coordinates in space, its
    time (with time) and the measured numbers. `holds` is what should be zero; without it the first field is what was
    measured first. `rows` readings make a step, all of them if not given; they follow each other in turn."""
    try:
        table = np.asarray(readings, float)
    except (TypeError, ValueError):
        table = np.zeros(0)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise PdeError(
            f"{line_of_caller()}readings are no table of finite numbers",
            "give a list of lines, each with the coordinates, the time and what was measured",
        )
    lines = tuple(tuple(float32(number) for number in line) for line in table)
    return Condition(Sampler.readings, holds or _first_as_measured, weight, rows or len(lines), readings=lines)


def _first_as_measured(p: Point) -> Expression:
    return p.first - p.measured[0]


def on_faces(
    holds: Callable[[Point], Any],
    weight: float = 1.0,
    rows: int = 20,
    axis: int | None = None,
    side: str | None = None,
) -> Condition:
    """On random faces of the box in space, at any time: on all, on both of coordinate `axis`, or on its "low" or "high"
    one. There p.u_n is the derivative along the outward normal."""
    return Condition(Sampler.faces, holds, weight, rows, axis, side)


def periodic(holds: Callable[[Point], Any], weight: float = 1.0, rows: int = 20, axis: int | None = None) -> Condition:
    """What is the same on opposite faces, of all coordinates or of coordinate `axis`: lambda p: [p.u, p.grad[0]]."""
    return Condition(Sampler.opposite, holds, weight, rows, axis)


def at_start(holds: Callable[[Point], Any], weight: float = 1.0, rows: int = 20) -> Condition:
    """At the earliest time."""
    return Condition(Sampler.start, holds, weight, rows)


def at_end(holds: Callable[[Point], Any], weight: float = 1.0, rows: int = 20) -> Condition:
    """At the latest time."""
    return Condition(Sampler.end, holds, weight, rows)


def require_faces(index: int, condition: Condition, n_space: int) -> None:
    axis, side = condition.axis, condition.side
    if axis is not None and (not isinstance(axis, int) or not 0 <= axis < n_space):
        raise PdeError(f"axis of condition {index} is {axis!r}", f"give a coordinate from 0 to {n_space - 1}")
    if side is not None and (side not in ("low", "high") or axis is None):
        raise PdeError(f"side of condition {index} is {side!r}", 'give "low" or "high", and the coordinate as axis')


def faces_of(condition: Condition, n_space: int) -> range:
    """The contract's numbers of the faces on which rows of a condition lie."""
    if condition.sampler not in (Sampler.faces, Sampler.opposite):
        return range(0)
    if condition.axis is None:
        return range(2 * n_space)
    first = 2 * condition.axis + (condition.side == "high")
    return range(first, first + (2 if condition.side is None else 1))
