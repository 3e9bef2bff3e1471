# SPDX-License-Identifier: MIT
"""Twin of identify.c and normal_equations.c: unknown constants of a simulation from a log, by streaming Gauss-Newton."""

from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import DeviceError, Direction, Identification, LogRow, PhaseRecord, SweepSum
from ttzo.exporter.ode.simulation import Simulation, packed
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.identification.simulate import Simulations
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.number.random import direction_add

ZERO, ONE = np.float32(0), np.float32(1)
LEAST_RIDGE, LARGEST_RIDGE, FALLS = np.float32(1e-5), np.float32(1e6), np.float32(0.1)
LEAST_PIVOT = np.float32(1e-7)
AT = Identification


def _root(square: np.float32) -> np.float32:
    return real.sqrt(np.array([square], np.float32))[0]


def _place(i: int, j: int) -> int:
    return packed(i) + j if i >= j else packed(j) + i


class Fit:
    """A working copy of theta and moments; `run` reads rows and leaves what a step leaves."""

    def __init__(self, plan: Plan, phase: PhaseRecord, theta: np.ndarray, moments: np.ndarray, seed: int):
        assert plan.simulation is not None  # the trainer has looked
        self.simulation: Simulation = plan.simulation
        self.phase, self.exported, self.seed, self.batch = phase, plan.parameters, seed, plan.batch
        simulation = self.simulation
        self.theta, self.moments = theta.copy(), moments.copy()
        self.n = len(theta)
        self.mu = np.float32(phase.perturb_radius)
        self.low, self.high = np.array(simulation.low, np.float32), np.array(simulation.high, np.float32)
        pieces = {name: self.moments[piece] for name, piece in simulation.layout.items()}
        self.places, self.candidate, self.best = pieces["places"], pieces["candidate"], pieces["best"]
        self.prior, self.prior_theta = pieces["prior"], pieces["prior_theta"]
        self.accepted, self.running = pieces["accepted"], pieces["running"]
        self.states = pieces["states"].reshape(self.n + 1, len(simulation.states))
        self.inputs, self.residuals = pieces["inputs"], pieces["residuals"]
        if not self.places[AT.begun] > 0:
            self.candidate[:] = self.theta
            self._begin_at_candidate()
            self.places[AT.begun] = 1
        self.simulations = Simulations(simulation, self.candidate, self.mu)

    def _sum(self, which: SweepSum) -> int:
        return packed(self.n) + self.n + which

    # ---- rows

    def _add(self, which: SweepSum, value: np.float32) -> None:
        self.running[self._sum(which)] = value + self.running[self._sum(which)]

    def _fit_number(self, y: int, row: np.ndarray) -> None:
        r, n = row[0], self.n
        column = (row[1:] - r) * (ONE / self.mu)
        rows, columns = np.tril_indices(n)
        self.running[: packed(n)] = column[rows] * column[columns] + self.running[: packed(n)]
        gradient = self.running[packed(n) : packed(n) + n]
        gradient[:] = column * r + gradient
        self._add(SweepSum.squares, r * r)
        self._add(SweepSum.count, ONE)
        if self.places[AT.lag_known] > 0:
            self._add(SweepSum.lag, r * self.residuals[y])
            self._add(SweepSum.lag_count, ONE)
        self.residuals[y] = r

    def _read_row(self, row: np.ndarray) -> None:
        kind, time, m = row[0], row[1], len(self.inputs)
        inputs, measured = row[2 : 2 + m], row[2 + m :]
        self.places[AT.row] += ONE
        if self.places[AT.diverged] > 0:
            return
        if not time > 0 or not self.places[AT.running] > 0:
            self.states[:] = self.simulations.begin(inputs).T
            self.places[AT.running], self.places[AT.lag_known] = 1, 0
        else:
            states = np.ascontiguousarray(self.states.T)
            self.states[:] = self.simulations.advance(states, time, self.inputs, inputs).T
        self.inputs[:] = inputs
        states = np.ascontiguousarray(self.states.T)
        for y in range(len(measured) if kind in (LogRow.fitted, LogRow.held_out) else 0):
            found = self.simulations.measure(states, y, inputs, measured[y])
            if kind == LogRow.fitted:
                self._fit_number(y, found)
            else:
                self._add(SweepSum.held_squares, found[0] * found[0])
                self._add(SweepSum.held_count, ONE)
        self.places[AT.lag_known] = kind == LogRow.fitted
        kept = (self.states, self.running, self.residuals)
        if not all(np.isfinite(numbers).all() for numbers in kept):
            self.places[AT.diverged] = 1
            for numbers in kept:
                numbers[:] = 0

    # ---- sweeps

    def _begin_sweep(self) -> None:
        self.running[:] = 0
        self.places[[AT.row, AT.running, AT.lag_known, AT.diverged]] = 0

    def _pull(self, theta: np.ndarray, i: int) -> np.float32:
        total = ZERO
        for j in range(self.n):
            total = self.prior[_place(i, j)] * (theta[j] - self.prior_theta[j]) + total
        return total

    def _prior_cost(self, theta: np.ndarray) -> np.float32:
        total = ZERO
        for i in range(self.n):
            total = (theta[i] - self.prior_theta[i]) * self._pull(theta, i) + total
        return total

    def _judge(self) -> None:
        places = self.places
        cost = self.running[self._sum(SweepSum.squares)] + self._prior_cost(self.candidate)
        finite = not places[AT.diverged] > 0 and bool(np.isfinite(cost))
        finite = finite and bool(self.running[self._sum(SweepSum.count)] > 0)
        known = places[AT.known] > 0
        better = finite and (not known or cost < places[AT.cost])
        places[AT.outcome] = 1 if better else 0 if finite else -1
        places[AT.sweeps] += ONE
        places[AT.tries] += ONE
        if known:
            places[AT.ridge] = places[AT.ridge] * (FALLS if better else ONE / FALLS)
        places[AT.ridge] = min(max(places[AT.ridge], LEAST_RIDGE), LARGEST_RIDGE)
        if not better:
            return
        places[AT.fall] = places[AT.cost] - cost if known else cost
        places[AT.cost], places[AT.known] = cost, 1
        self.theta[:] = self.candidate
        self.accepted[:] = self.running

    def _remember_start(self) -> None:
        places = self.places
        if not places[AT.known] > 0 or (places[AT.has_best] > 0 and not places[AT.cost] < places[AT.best_cost]):
            return
        places[AT.has_best], places[AT.best_cost] = 1, places[AT.cost]
        self.best[:] = self.theta

    def _begin_at_candidate(self) -> None:
        self.candidate[:] = np.clip(self.candidate, self.low, self.high)
        self.places[AT.ridge] = np.float32(self.phase.ridge)
        self.places[[AT.known, AT.tries]] = 0

    def _choose_candidate(self) -> np.float32:
        """Sets the next candidate; the length of the step. Raises `DeviceError` when all starts diverge."""
        places, starts = self.places, self.simulation.n_starts
        known = places[AT.known] > 0
        if places[AT.start] < starts and (not known or places[AT.tries] >= self.simulation.tries):
            self._remember_start()
            places[AT.start] += ONE
            if places[AT.start] < starts:
                spread, number = self.simulation.spread, int(places[AT.start])
                self.candidate[:] = direction_add(self.exported, spread, Direction.gaussian, self.seed, 0, number)
                self._begin_at_candidate()
                return ZERO
            if not places[AT.has_best] > 0:
                raise DeviceError("non_finite")
            if not known or places[AT.best_cost] < places[AT.cost]:
                self.candidate[:] = self.best
                self._begin_at_candidate()
                return ZERO
        if not known:
            raise DeviceError("non_finite")
        return self._propose()

    def _propose(self) -> np.float32:
        matrix, scale, step = self._set_up()
        _solve(matrix, step)
        longest = np.float32(self.phase.trust_radius)
        step = step * scale
        step = np.where(np.isfinite(step), step, ZERO)
        if longest > 0:
            step = np.clip(step, -longest, longest)
        self.candidate[:] = np.clip(self.theta + step, self.low, self.high)
        squares = ZERO
        for moved in self.candidate - self.theta:
            squares = moved * moved + squares
        return _root(squares)

    def _set_up(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.n
        gradient = self.accepted[packed(n) : packed(n) + n]
        scale, step = np.zeros(n, np.float32), np.zeros(n, np.float32)
        matrix = np.zeros(packed(n), np.float32)
        for i in range(n):
            pull = gradient[i] + self._pull(self.theta, i)
            square = self.accepted[_place(i, i)] + self.prior[_place(i, i)]
            pressed = (self.theta[i] <= self.low[i] and pull > 0) or (self.theta[i] >= self.high[i] and pull < 0)
            scale[i] = ONE / _root(square) if square > 0 and not pressed else ZERO
            step[i] = -pull * scale[i]
        for i in range(n):
            for j in range(i + 1):
                at = _place(i, j)
                entry = (self.accepted[at] + self.prior[at]) * scale[i] * scale[j]
                matrix[at] = ONE + self.places[AT.ridge] if i == j else entry
        return matrix, scale, step

    def _end_log(self, factor: np.float32) -> None:
        if self.places[AT.known] > 0:
            self.prior[:] = factor * (self.accepted[: packed(self.n)] + self.prior)
            self.prior_theta[:] = self.theta
            self.places[AT.logs] += ONE
        self.candidate[:] = self.theta
        self._begin_at_candidate()
        self.places[AT.start], self.places[AT.has_best] = self.simulation.n_starts, 0
        self._begin_sweep()

    # ---- the step

    def _mean_square(self) -> np.float32:
        count = self.running[self._sum(SweepSum.count)]
        mean = self.running[self._sum(SweepSum.squares)] / count
        return mean if count > 0 and np.isfinite(mean) else ZERO

    def run(
        self, rows: np.ndarray, stays: bool, poll: Callable[[int, int], None], step: int
    ) -> tuple[np.float32, np.float32]:
        """Reads at most a batch of `rows`: from the first, or, of a log that `stays`, from where the sweep stands. Returns the mean
        square of the sweep so far, and the length of the next step. Raises `DeviceError`."""
        with np.errstate(all="ignore"):
            try:
                return self._run(rows, stays, poll)
            except DeviceError as error:
                raise DeviceError(error.name, step) if error.name == "non_finite" else error from None

    def _run(self, rows, stays, poll) -> tuple[np.float32, np.float32]:
        for slot in range(self.batch):
            index = int(self.places[AT.row]) if stays else slot
            row = rows[index] if index < len(rows) else None
            kind = LogRow.end_of_sweep if row is None else row[0]
            if row is not None and kind == LogRow.end_of_log:
                self._end_log(row[1])
                return ZERO, ZERO
            if kind == LogRow.end_of_sweep and not self.places[AT.row] > 0:
                return ZERO, ZERO
            if row is None or kind == LogRow.end_of_sweep:
                loss = self._mean_square()
                self._judge()
                length = self._choose_candidate()
                self._begin_sweep()
                return loss, length
            self._read_row(row)
            poll(slot + 1, self.batch)
        return self._mean_square(), ZERO


def _solve(matrix: np.ndarray, x: np.ndarray) -> None:
    """Cholesky's factor in the place of the packed matrix, the solution in the place of x."""
    n = len(x)
    for i in range(n):
        for j in range(i + 1):
            total = matrix[_place(i, j)]
            for k in range(j):
                total = -matrix[_place(i, k)] * matrix[_place(j, k)] + total
            pivot = max(total, LEAST_PIVOT) if total == total else LEAST_PIVOT
            matrix[_place(i, j)] = _root(pivot) if i == j else total / matrix[_place(j, j)]
    for i in range(n):
        for k in range(i):
            x[i] = -matrix[_place(i, k)] * x[k] + x[i]
        x[i] = x[i] / matrix[_place(i, i)]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            x[i] = -matrix[_place(k, i)] * x[k] + x[i]
        x[i] = x[i] / matrix[_place(i, i)]
