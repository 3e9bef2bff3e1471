# SPDX-License-Identifier: MIT
"""Twin of simulate.c: simulations side by side, the last axis of every array."""

import numpy as np

from ttzo.device_runtime.contract import LIMIT
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.pde.program import Program
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.programs import program

ONE, HALF, TWO, SIXTH = np.float32(1), np.float32(0.5), np.float32(2), np.float32(1.0 / 6.0)


class Simulations:
    """The states [S, 1 + K] of the simulation at theta and of those beside it, each with one unknown larger by `mu`."""

    def __init__(self, simulation: Simulation, theta: np.ndarray, mu: np.float32):
        self.simulation = simulation
        n, self.n_states = len(theta), len(simulation.states)
        self.first_value = self.n_states + len(simulation.inputs)
        self.x = np.zeros((simulation.n_values, n + 1), np.float32)
        with np.errstate(all="ignore"):
            self.x[self.first_value :] = self._values(theta)[:, None]
            moved = self._values(theta + mu)
        for i in range(n):
            self.x[self.first_value + i, i + 1] = moved[i]

    def _values(self, theta: np.ndarray) -> np.ndarray:
        units = np.array(self.simulation.units, np.float32)
        return np.where(units > 0, units * theta, real.exp(theta))

    def _run(self, what: Program) -> np.ndarray:
        zero = np.zeros(self.x.shape[1], np.float32)
        rest = [zero] * (LIMIT["program_inputs"] - 1)
        return program.run(what, len(self.x), [self.x, *rest])

    def _put_inputs(self, inputs: np.ndarray) -> None:
        self.x[self.n_states : self.first_value] = inputs[:, None]

    def begin(self, inputs: np.ndarray) -> np.ndarray:
        """The states where a log begins with these inputs [M]."""
        self._put_inputs(inputs)
        self.x[: self.n_states] = 0
        return np.array([self._run(each) for each in self.simulation.initial])

    def advance(self, states: np.ndarray, time: np.float32, before: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """The states after `time`, from the inputs of the row before to `inputs`."""
        longest, n = np.float32(self.simulation.substep), 1
        while n < LIMIT["max_substeps"] and np.float32(n) * longest < time:
            n += 1
        share = ONE / np.float32(n)
        h = time * share
        for k in range(n):
            states = self._substep(states, h, share, np.float32(k), before, inputs)
        return states

    def _substep(self, y, h, share, at, before, inputs) -> np.ndarray:
        total = np.zeros_like(y)

        def stage(length: np.float32, weight: np.float32) -> None:
            nonlocal total
            rates = np.array([self._run(each) for each in self.simulation.rates])
            total = weight * rates + total
            self.x[: self.n_states] = length * rates + y

        self.x[: self.n_states] = y
        self._put_between(before, inputs, at * share)
        stage(HALF * h, ONE)
        self._put_between(before, inputs, (at + HALF) * share)
        stage(HALF * h, TWO)
        stage(h, TWO)
        self._put_between(before, inputs, (at + ONE) * share)
        stage(h, ONE)
        return (h * SIXTH) * total + y

    def _put_between(self, before: np.ndarray, inputs: np.ndarray, share: np.float32) -> None:
        linear = np.array([self.simulation.linear_inputs >> i & 1 for i in range(len(inputs))], bool)
        self._put_inputs(np.where(linear, share * (inputs - before) + before, before))

    def measure(self, states: np.ndarray, y: int, inputs: np.ndarray, measured: np.float32) -> np.ndarray:
        """The residuals [1 + K] of measured column `y`."""
        self.x[: self.n_states] = states
        self._put_inputs(inputs)
        return (self._run(self.simulation.readings[y]) - measured) * np.float32(self.simulation.scales[y])
