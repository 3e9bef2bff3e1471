# SPDX-License-Identifier: MIT
"""A simulation with unknown constants as a person writes it, and how it becomes data.

house = ode.Model(
    time="h",
    substep=1 / 60,
    states={"room": 20.0, "walls": ode.Unknown(17, 5, 30, log=False)},
    inputs=["outdoor", "heating"],
    unknowns={"C_room": 0.5, "C_walls": 6.0, "R_inside": 1.6, "R_outside": 5.0},
    rates=lambda m: {
        "room": ((m.walls - m.room) / m.R_inside + m.heating) / m.C_room,
        "walls": ((m.room - m.walls) / m.R_inside + (m.outdoor - m.walls) / m.R_outside) / m.C_walls,
    },
    measured={"indoor": "room"},
)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import LIMIT
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.pde.expression import Expression, PdeError, component, leaf, maximum, wrap
from ttzo.exporter.pde.program import Program, compile_expression

TIME_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}  # seconds
WIDE = 100.0  # bounds of a positive constant, where nobody gives them: its start divided and multiplied by this
TRUST = 4.0  # theta of a constant that is not fitted by its logarithm goes through its bounds in so many units


@dataclass(frozen=True)
class Unknown:
    """A constant to be found: where the search starts, its bounds, and whether its logarithm is fitted, which suits
    every positive constant. Without `log` both bounds are needed."""

    start: float
    low: float | None = None
    high: float | None = None
    log: bool = True


@dataclass(frozen=True)
class Measured:
    """What a column of the log measures: a function of the moment, or the name of a state. `noise`: its standard
    deviation beside those of other columns; of a single column any number does."""

    holds: "Callable[[Moment], Any] | str"
    noise: float = 1.0


@dataclass(frozen=True)
class Model:
    """States that follow ordinary differential equations with unknown constants.

    states: the value of each where a log begins: a number, an `Unknown`, or a function of inputs and constants.
    inputs: columns of the log; they hold until the next row, those in `linear` go to it in a line.
    unknowns: constants, each an `Unknown` or its positive start. rates(m): change of each state in a unit of time, by
    name. measured: for columns of the log, the state or the function of the moment that they measure, or a `Measured`.
    time: unit of time of all constants: s, min, h or d. substep: longest integration step in that unit.
    starts: how many random starts are tried around the given one (0: none), each for `tries` sweeps; `spread`: their
    standard deviation as a logarithm. step: difference in theta by which derivatives are made.
    """

    states: "Mapping[str, float | Unknown | Callable[[Moment], Any]]"
    unknowns: Mapping[str, float | Unknown]
    rates: "Callable[[Moment], Mapping[str, Any] | Sequence[Any]]"
    measured: "Mapping[str, str | Measured | Callable[[Moment], Any]]"
    substep: float
    inputs: Sequence[str] = ()
    linear: Sequence[str] = ()
    time: str = "s"
    starts: int = 2
    tries: int = 4
    spread: float = 0.7
    step: float = 0.01


class Moment:
    """What rates and measurements are written with: states, inputs and constants by name, as `m.room` or `m["room"]`."""

    def __init__(self, values: Mapping[str, Expression]):
        self._values = values

    def __getitem__(self, name: str) -> Expression:
        if name not in self._values:
            raise PdeError(
                f"the model has no state, input or constant {name!r}", f"it has {', '.join(map(str, self._values))}"
            )
        return self._values[name]

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


def curve(x: Any, xs: Sequence[float], ys: Sequence[float]) -> Any:
    """The line through points (xs, ys), xs ascending, at x; beyond the ends it goes on straight."""
    if len(xs) != len(ys) or len(xs) < 2 or any(b <= a for a, b in zip(xs, xs[1:], strict=False)):
        raise PdeError("curve needs two or more points with ascending xs", "give as many ys as xs")
    slopes = [(d - c) / (b - a) for a, b, c, d in zip(xs, xs[1:], ys, ys[1:], strict=False)]
    made = ys[0] + slopes[0] * (x - xs[0])
    for at, before, after in zip(xs[1:], slopes, slopes[1:], strict=False):
        made = made + (after - before) * maximum(x - at, 0.0 * x)
    return made


# ---- tracing --------------------------------------------------------------------------------------------------------


def trace(model: Model) -> tuple[Simulation, np.ndarray]:
    """The model as data, and the start of its unknowns (theta, float32). Raises `PdeError`."""
    _require_names(model)
    first = {name: _unknown(name, value) for name, value in model.unknowns.items()}
    begun = {name: _unknown(f"{name}(0)", v) for name, v in model.states.items() if isinstance(v, Unknown)}
    unknowns = first | {f"{name}(0)": unknown for name, unknown in begun.items()}
    size = len(model.states) + len(model.inputs) + len(unknowns)
    names = [*model.states, *model.inputs, *unknowns]
    x = leaf("x", size)
    moment = Moment({name: component(x, index) for index, name in enumerate(names)})
    inputs = Moment({name: moment[name] for name in names[len(model.states) :]})
    measured = {
        column: each if isinstance(each, Measured) else Measured(each) for column, each in model.measured.items()
    }
    rates = _rates(model, moment)
    made = Simulation(
        states=tuple(model.states),
        inputs=tuple(model.inputs),
        unknowns=tuple(unknowns),
        measured=tuple(measured),
        time=model.time,
        low=tuple(_theta(u, u.low) for u in unknowns.values()),
        high=tuple(_theta(u, u.high) for u in unknowns.values()),
        units=tuple(_float32(_unit(u)) for u in unknowns.values()),
        scales=tuple(_float32(1.0 / _positive(f"the noise of {c}", m.noise)) for c, m in measured.items()),
        linear_inputs=sum(1 << index for index, name in enumerate(model.inputs) if name in model.linear),
        substep=_float32(_positive("substep", model.substep)),
        spread=_float32(_number("spread", model.spread)),
        n_starts=1 + _whole("starts", model.starts, 0),
        tries=_whole("tries", model.tries, 1),
        rates=tuple(_program(f"the rate of {name}", rates[name], size) for name in model.states),
        initial=tuple(_initial(name, value, inputs, size) for name, value in model.states.items()),
        readings=tuple(_program(f"what {c} measures", _reading(m, moment), size) for c, m in measured.items()),
    )
    return made, np.array([_theta(u, u.start) for u in unknowns.values()], np.float32)


def _require_names(model: Model) -> None:
    limits = (
        ("states", model.states, 1, LIMIT["max_states"]),
        ("inputs", model.inputs, 0, LIMIT["max_log_inputs"]),
        ("measured columns", model.measured, 1, LIMIT["max_measured"]),
    )
    for what, names, least, most in limits:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise PdeError(f"the {what} have no names", "name them with texts")
        if not least <= len(names) <= most:
            raise PdeError(f"{len(names)} {what}; {least} to {most} are supported", "leave some out")
    n = len(model.unknowns) + sum(isinstance(value, Unknown) for value in model.states.values())
    if not 1 <= n <= LIMIT["max_unknowns"]:
        raise PdeError(f"{n} unknowns; 1 to {LIMIT['max_unknowns']} are supported", "give known constants as numbers")
    names = [*model.states, *model.inputs, *model.unknowns]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise PdeError(f"{twice[0]} is named twice", "states, inputs and unknowns need names of their own")
    lost = [name for name in model.linear if name not in model.inputs]
    if lost:
        raise PdeError(f"linear names {lost[0]}, which is no input", f"the inputs are {', '.join(model.inputs)}")
    if model.time not in TIME_UNITS:
        raise PdeError(f"there is no unit of time {model.time!r}", f"choose one of {', '.join(TIME_UNITS)}")


def _unknown(name: str, value: Any) -> Unknown:
    if not isinstance(value, Unknown):
        value = Unknown(_number(name, value))
    start = _number(name, value.start)
    if value.log and not start > 0:
        raise PdeError(
            f"{name} starts at {start:g}, which has no logarithm", "give ode.Unknown(start, low, high, log=False)"
        )
    if not value.log and (value.low is None or value.high is None):
        raise PdeError(f"{name} has no bounds", "give ode.Unknown(start, low, high, log=False)")
    low = start / WIDE if value.low is None else _number(name, value.low)
    high = start * WIDE if value.high is None else _number(name, value.high)
    if not low <= start <= high or not low < high or (value.log and not low > 0):
        raise PdeError(
            f"{name} starts at {start:g}, its bounds are {low:g} and {high:g}",
            "the start lies between its bounds" + (", which are positive" if value.log else ""),
        )
    return Unknown(start, low, high, value.log)


def _unit(unknown: Unknown) -> float:
    """0 for a logarithm."""
    return 0.0 if unknown.log else (float(unknown.high or 0) - float(unknown.low or 0)) / TRUST


def _theta(unknown: Unknown, value: float | None) -> float:
    assert value is not None  # `_unknown` has filled it
    return _float32(math.log(value) if unknown.log else value / _float32(_unit(unknown)))


def _rates(model: Model, moment: Moment) -> dict[str, Any]:
    made = model.rates(moment)
    if not isinstance(made, Mapping):
        values = list(made) if isinstance(made, list | tuple) else [made]
        if len(values) != len(model.states):
            raise PdeError(f"rates returns {len(values)} values for {len(model.states)} states", "give one for each")
        return dict(zip(model.states, values, strict=True))
    if set(made) != set(model.states):
        names = ", ".join(sorted(set(map(str, made)) ^ set(model.states)))
        raise PdeError(f"rates and states differ in {names}", "give one rate for each state, under its name")
    return dict(made)


def _initial(name: str, value: Any, inputs: Moment, size: int) -> Program:
    if isinstance(value, Unknown):
        value = inputs[f"{name}(0)"]
    return _program(f"the start of {name}", value(inputs) if callable(value) else value, size)


def _reading(measured: Measured, moment: Moment) -> Any:
    return moment[measured.holds] if isinstance(measured.holds, str) else measured.holds(moment)


def _program(what: str, value: Any, size: int) -> Program:
    if isinstance(value, list | tuple | dict):
        raise PdeError(f"{what} is {len(value)} values, not one number", "give one expression")
    if value is None:
        raise PdeError(f"{what} is nothing", "let the function return an expression")
    made = wrap(value)
    if made.size is not None:
        raise PdeError(f"{what} is a vector", "give one number")
    return compile_expression(made)


def _float32(value: float) -> float:
    """What a device keeps of it."""
    return float(np.float32(value))


def _number(name: str, value: Any) -> float:
    known = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not known or not abs(value) < 3e38:
        raise PdeError(f"{name} is {value!r}", "give a finite number")
    return float(value)


def _positive(name: str, value: Any) -> float:
    if not _number(name, value) > 0:
        raise PdeError(f"{name} is {value!r}", "give a positive number")
    return float(value)


def _whole(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 100:
        raise PdeError(f"{name} is {value!r}", f"give a whole number from {least} to 100")
    return value
