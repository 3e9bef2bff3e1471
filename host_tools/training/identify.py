# SPDX-License-Identifier: MIT
"""Fitting a simulation's constants on a device: the host sends the log and counts sweeps, the device does the rest.

The log stays on the device where it fits; otherwise every sweep is sent in batches. Both give the same bits, and so does a
run that was cut in the midst of a sweep: `checkpoint.npz` in the run's folder holds sums and states.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import DeviceError, ExitCode, Identification, LogRow, Region, SweepSum, TtzoError
from ttzo.exporter.ode.simulation import Simulation, packed
from ttzo.exporter.writers.to_bundle import model_hash
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.read_log import Log
from ttzo.host_tools.device.device import Device
from ttzo.host_tools.reference.identification.simulate import Simulations
from ttzo.host_tools.training import checkpoint as checkpoints
from ttzo.host_tools.training.checkpoint import Checkpoint
from ttzo.host_tools.training.findings import Findings, findings
from ttzo.host_tools.training.session import Interrupted
from ttzo.host_tools.training.stop import Stop

MOST_SWEEPS = 200
ENOUGH = 0.01  # a sweep that lowers the cost by less than so much of one row's share is the last one
ROUNDING = 2e-6  # share of the cost that float32 sums do not resolve
STUCK = 1e3  # ridge from which on no step helps
CHECKED_ROWS = 1000  # of the log, on which the integration step is tried
COARSE = 0.3  # largest change that half the integration step may make, in units of the noise


class IdentifyError(TtzoError):
    """A fit that came to nothing."""

    exit_code = ExitCode.diverged


@dataclass(frozen=True)
class Identified:
    """`converged`: no sweep would have lowered the cost further. `integration`: largest change of what is simulated when the
    integration step is halved, in units of the noise. `simulations`: passes of the log at one set of constants."""

    found: Findings
    converged: bool
    integration: float
    simulations: int
    resident: bool
    instructions: int | None
    resumed: bool


def identify(
    device: Device,
    log: Log,
    folder: str | Path,
    *,
    restart: bool = False,
    forget: float = 1.0,
    most_sweeps: int = MOST_SWEEPS,
    report: Callable[[int, Findings], object] | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Identified:
    """Fits the log on the device, from the run's checkpoint if there is one. After another log, what that one said counts with
    the factor `forget`, 0 to 1. Ctrl-C writes a checkpoint. Raises `IdentifyError`, `Interrupted`, and device errors."""
    run = _Run(device, log, Path(folder))
    resumed = run.begin(restart, forget, say)
    before, sweeps = device.instructions, -1
    with Stop().listening() as stop:
        while not run.is_done(most_sweeps):
            try:
                run.step()
            except DeviceError as error:
                raise _explained(error) from error
            if stop.requested:
                run.save()
                raise Interrupted("stopped", "the same command goes on from here")
            if run.sweeps != sweeps:
                sweeps = run.sweeps
                run.save()
                if report and sweeps:
                    report(sweeps, run.found())
    run.save()
    found, used = run.found(), device.instructions
    return Identified(
        found=found,
        converged=run.converged,
        integration=integration_error(run.simulation, run.theta, log, found.noise),
        simulations=run.simulations,
        resident=run.resident,
        instructions=None if used is None or before is None else used - before,
        resumed=resumed,
    )


def _explained(error: DeviceError) -> TtzoError:
    if error.name != "non_finite":
        return error
    return IdentifyError(
        "the simulation leaves the finite numbers at every start, or no row of the log is fitted",
        "give the model a shorter substep, starts nearer to the truth, or closer bounds",
    )


class _Run:
    """A fit under way."""

    def __init__(self, device: Device, log: Log, folder: Path):
        if device.plan.simulation is None:
            raise DataError("the bundle holds a network, not a simulation", "export a model of ttzo.ode")
        self.simulation: Simulation = device.plan.simulation
        self.device, self.log, self.path = device, log, folder / checkpoints.Generation.last.value
        self.batch = device.plan.batch
        self.resident = len(log.rows) <= device.info.dataset_capacity
        self.steps_a_sweep = len(log.rows) // self.batch + 1
        self.at = 0  # steps of the running sweep
        self._fetch()

    def begin(self, restart: bool, forget: float, say: Callable[[str], object]) -> bool:
        """Brings checkpoint and log onto the device; whether the run goes on with this log."""
        same = False
        if self.path.exists() and not restart:
            found = checkpoints.load(self.path, self.device.plan)
            self.device.configure(found.settings)
            self.device.load(found.parameters, found.moments, found.state)
            same = found.data_checksum == self.log.checksum
            if not same:
                say(f"other data than before: what is known counts {forget:g} times")
                self._end_log(forget)
        else:
            self.device.reset()
        self._fetch()
        if self.resident:
            self.device.write_dataset(self._bytes(self.log.rows))
        return same

    @staticmethod
    def _bytes(rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(rows, "<f4").view(np.uint8)

    def _marks(self, kind: LogRow, n: int, time: float = 0.0) -> np.ndarray:
        rows = np.zeros((n, self.log.rows.shape[1]), np.float32)
        rows[:, 0], rows[:, 1] = kind, time
        return rows

    def _end_log(self, factor: float) -> None:
        self.device.write_batch(self._bytes(self._marks(LogRow.end_of_log, self.batch, factor)))
        self.device.step(Region.batch)

    def step(self) -> None:
        """The next rows of the log."""
        if self.resident:
            self.device.step(Region.dataset)
        else:
            first = self.at * self.batch
            part = self.log.rows[first : first + self.batch]
            self.device.write_batch(
                self._bytes(np.vstack([part, self._marks(LogRow.end_of_sweep, self.batch - len(part))]))
            )
            self.device.step(Region.batch)
        self.at = (self.at + 1) % self.steps_a_sweep
        if self.at == 0:
            self._fetch()

    def _fetch(self) -> None:
        """Reads what the device holds."""
        self.theta, self.moments = self.device.parameters(), self.device.moments()
        self.places = self.moments[self.simulation.layout["places"]]
        self.at = int(self.places[Identification.row]) // self.batch

    @property
    def sweeps(self) -> int:
        return int(self.places[Identification.sweeps])

    @property
    def simulations(self) -> int:
        return self.sweeps * (1 + len(self.theta))

    @property
    def converged(self) -> bool:
        places, n = self.places, len(self.theta)
        if places[Identification.start] < self.simulation.n_starts or not places[Identification.known] > 0:
            return False
        sums = self.moments[self.simulation.layout["accepted"]][packed(n) + n :]
        least = max(ENOUGH / max(float(sums[SweepSum.count]), 1.0), ROUNDING) * float(places[Identification.cost])
        accepted = places[Identification.outcome] == 1
        return bool((accepted and places[Identification.fall] <= least) or places[Identification.ridge] > STUCK)

    def is_done(self, most_sweeps: int) -> bool:
        return self.at == 0 and (self.converged or self.sweeps >= most_sweeps)

    def found(self) -> Findings:
        return findings(self.simulation, self.theta, self.moments)

    def save(self) -> None:
        self._fetch()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        device = self.device
        checkpoints.save(
            self.path,
            Checkpoint(
                self.theta,
                self.moments,
                device.state(),
                device.settings(),
                model_hash(device.plan),
                self.log.checksum,
            ),
        )


# ---- how good the integration is ------------------------------------------------------------------------------------


def integration_error(simulation: Simulation, theta: np.ndarray, log: Log, noise: float) -> float:
    """Largest change of what is simulated along the beginning of the log when the integration step is halved, in `noise`."""
    rows = log.rows[:CHECKED_ROWS]
    whole = simulate(simulation, theta, rows)
    halved = simulate(dataclasses.replace(simulation, substep=simulation.substep / 2), theta, rows)
    alone = len(simulation.scales) == 1
    scale = np.ones(1) if alone else np.array(simulation.scales)
    return float(np.max(np.abs(whole - halved) * scale) / max(noise, 1e-30))


def simulate(simulation: Simulation, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What is measured at theta along the rows of a log, float64 (n, Y), by the reference."""
    n_inputs, made = len(simulation.inputs), []
    work = Simulations(simulation, theta.astype(np.float32), np.float32(0))
    states = before = np.zeros(0, np.float32)
    with np.errstate(all="ignore"):
        for row in rows:
            inputs = row[2 : 2 + n_inputs]
            states = work.advance(states, row[1], before, inputs) if row[1] > 0 and states.size else work.begin(inputs)
            before = inputs
            zero = np.float32(0)
            found = [work.measure(states, y, inputs, zero)[0] for y in range(len(simulation.measured))]
            made.append(np.array(found, float) / np.array(simulation.scales))
    return np.array(made)
