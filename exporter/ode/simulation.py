# SPDX-License-Identifier: MIT
"""A simulation as data, as a plan holds it, and where the numbers of its fit lie in the moments
(device_runtime/identification/simulation.h)."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ttzo.device_runtime.contract import LIMIT, Identification, SweepSum
from ttzo.exporter.pde.program import Program

PLACES = len(Identification)
SUMS = len(SweepSum)


@dataclass(frozen=True)
class Simulation:
    """`low` and `high` bound theta; a constant is `units` times its theta, exp(theta) where the unit is 0. Names are for
    people: no device holds them. Programs read the vector of states, inputs and constants."""

    states: tuple[str, ...]
    inputs: tuple[str, ...]
    unknowns: tuple[str, ...]
    measured: tuple[str, ...]
    time: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    units: tuple[float, ...]
    scales: tuple[float, ...]
    linear_inputs: int
    substep: float
    spread: float
    n_starts: int
    tries: int
    rates: tuple[Program, ...]
    initial: tuple[Program, ...]
    readings: tuple[Program, ...]

    @property
    def programs(self) -> tuple[Program, ...]:
        """In the order of the bundle."""
        return (*self.rates, *self.initial, *self.readings)

    @property
    def n_values(self) -> int:
        """Length of the vector that programs read."""
        return len(self.states) + len(self.inputs) + len(self.unknowns)

    @property
    def row_numbers(self) -> int:
        """Numbers of a row before the measured ones: its kind, the time since the row before, inputs."""
        return 2 + len(self.inputs)

    @property
    def instructions_a_row(self) -> int:
        """Instructions of one integration step of all simulations, and of what is measured."""
        rates, readings = (sum(len(p.instructions) for p in each) for each in (self.rates, self.readings))
        return (1 + len(self.unknowns)) * (4 * rates + readings)

    @cached_property
    def layout(self) -> dict[str, slice]:
        """The pieces of the moments, by their names in `struct ttzo_fit`."""
        n, sums = len(self.unknowns), packed(len(self.unknowns)) + len(self.unknowns) + SUMS
        sizes = {
            "places": PLACES,
            "candidate": n,
            "best": n,
            "prior_theta": n,
            "prior": packed(n),
            "accepted": sums,
            "running": sums,
            "states": (n + 1) * len(self.states),
            "inputs": len(self.inputs),
            "residuals": len(self.measured),
        }
        made, at = {}, 0
        for name, size in sizes.items():
            made[name] = slice(at, at + size)
            at += size
        return made

    @property
    def n_moments(self) -> int:
        return self.layout["residuals"].stop

    @property
    def work_numbers(self) -> int:
        """Floats that a step needs besides: a copy of the moments, vectors, a matrix, the registers of the longest program."""
        n, longest = len(self.unknowns), max(len(program.instructions) for program in self.programs)
        vectors = 5 * n + self.n_values + 2 * len(self.states) + n + 1
        return self.n_moments + vectors + packed(n) + longest * self.n_values

    def values(self, theta: np.ndarray) -> np.ndarray:
        """The constants at theta, float64."""
        theta, units = np.asarray(theta, float), np.array(self.units)
        return np.where(units > 0, units * theta, np.exp(np.where(units > 0, 0.0, theta)))

    def theta(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `values`, inside the bounds."""
        made = [
            v / unit if unit > 0 else math.log(max(v, 1e-300))
            for v, unit in zip(np.asarray(values, float), self.units, strict=True)
        ]
        return np.clip(made, self.low, self.high)

    def inconsistency(self) -> str:
        """What no device could run, in words; empty when there is nothing."""
        n = len(self.unknowns)
        sizes = (
            ("states", len(self.states), 1, LIMIT["max_states"]),
            ("inputs", len(self.inputs), 0, LIMIT["max_log_inputs"]),
            ("measured columns", len(self.measured), 1, LIMIT["max_measured"]),
            ("unknowns", n, 1, LIMIT["max_unknowns"]),
        )
        for what, size, least, most in sizes:
            if not least <= size <= most:
                return f"{size} {what}; {least} to {most} are supported"
        if not all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in zip(self.low, self.high, strict=True)):
            return "a bound of an unknown is not finite, or low is not below high"
        if not 0 < self.substep < math.inf or not 0 <= self.spread < math.inf or self.n_starts < 1 or self.tries < 1:
            return "the substep must be positive, with one start and one try or more"
        if any(program.needs or program.output >= 256 for program in self.programs):
            return "a simulation has no derivatives of a network"
        return ""


def packed(n: int) -> int:
    """Numbers of a symmetric n x n matrix."""
    return n * (n + 1) // 2


def unpacked(numbers: np.ndarray) -> np.ndarray:
    """The symmetric matrix of packed numbers, float64."""
    n = int((math.sqrt(8 * len(numbers) + 1) - 1) / 2)
    made = np.zeros((n, n))
    rows, columns = np.tril_indices(n)
    made[rows, columns] = made[columns, rows] = numbers
    return made
