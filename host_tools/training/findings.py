# SPDX-License-Identifier: MIT
"""What a fit has found: the constants with their standard errors and correlations, and whether to believe them."""

import math
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Identification, SweepSum
from ttzo.exporter.ode.simulation import Simulation, packed, unpacked

LEAST_EIGENVALUE = 1e-5  # of J'J scaled to a diagonal of 1: what float32 sums still tell
INVOLVED = 0.3  # share of an unknown in a direction that the data do not show
SIGMAS = 1.96  # 95 % of a normal distribution
WHITE = 2.58  # 99 %
WIDEST = 1.0  # standard error of a logarithm, from which on nothing is known
AT_BOUND = 1e-6


@dataclass(frozen=True)
class Constant:
    """A constant's value, standard error and 95 % interval; `remark` says why not to believe it, "" when nothing does."""

    name: str
    value: float
    error: float
    low: float
    high: float
    remark: str


@dataclass(frozen=True)
class Findings:
    """`noise` and `held_noise`: root mean square of the residuals of fitted and held-out rows, in units of the measured
    column where there is one alone, else of its stated noise; the latter NaN without such rows. `correlations` [K][K].
    `lag`: correlation of a residual with the one before, `lag_limit`: what noise alone stays below in 99 % of all logs.
    """

    constants: tuple[Constant, ...]
    correlations: tuple[tuple[float, ...], ...]
    noise: float
    held_noise: float
    rows: int
    held_rows: int
    lag: float
    lag_limit: float
    sweeps: int
    logs: int

    @property
    def is_white(self) -> bool:
        return abs(self.lag) <= self.lag_limit

    @property
    def fits_held_rows(self) -> bool:
        """Whether the rows that were held out are met about as well as the fitted ones."""
        return not self.held_rows or self.held_noise <= self.noise * (1 + 3 / math.sqrt(2 * self.held_rows)) * 1.1


def findings(simulation: Simulation, theta: np.ndarray, moments: np.ndarray) -> Findings:
    """From theta and moments as a device holds them after a sweep."""
    n = len(simulation.unknowns)
    pieces = {name: moments[piece].astype(float) for name, piece in simulation.layout.items()}
    accepted, places = pieces["accepted"], pieces["places"]
    information = unpacked(accepted[: packed(n)] + pieces["prior"])
    sums = accepted[packed(n) + n :]
    count = sums[SweepSum.count]
    variance = sums[SweepSum.squares] / max(count - n, 1.0)
    covariance, hidden = _covariance(information)
    errors = np.sqrt(np.clip(np.diag(covariance), 0, None) * variance)
    alone = 1.0 / simulation.scales[0] if len(simulation.scales) == 1 else 1.0
    held = sums[SweepSum.held_count]
    return Findings(
        constants=tuple(_constant(simulation, theta, errors, hidden, i) for i in range(n)),
        correlations=tuple(map(tuple, _correlations(covariance))),
        noise=alone * math.sqrt(variance),
        held_noise=alone * math.sqrt(sums[SweepSum.held_squares] / held) if held else math.nan,
        rows=int(count),
        held_rows=int(held),
        lag=sums[SweepSum.lag] / sums[SweepSum.squares] if sums[SweepSum.squares] else 0.0,
        lag_limit=WHITE / math.sqrt(max(sums[SweepSum.lag_count], 1.0)),
        sweeps=int(places[Identification.sweeps]),
        logs=int(places[Identification.logs]) + 1,
    )


def _covariance(information: np.ndarray) -> tuple[np.ndarray, list[set[int]]]:
    """The inverse over the directions that the data show, and the unknowns of each of the others."""
    scale = np.sqrt(np.diag(information))
    unseen = [{int(i)} for i in np.flatnonzero(~(scale > 0))]
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    shown = values > LEAST_EIGENVALUE * max(values.max(), 1.0)
    hidden = [set(map(int, np.flatnonzero(np.abs(v) > INVOLVED))) for v in vectors.T[~shown]]
    inverse = (vectors[:, shown] / values[shown]) @ vectors[:, shown].T
    return inverse / np.outer(scale, scale), unseen + [each for each in hidden if each not in unseen]


def _correlations(covariance: np.ndarray) -> np.ndarray:
    errors = np.sqrt(np.clip(np.diag(covariance), 1e-300, None))
    return np.clip(covariance / np.outer(errors, errors), -1, 1)


def _constant(
    simulation: Simulation, theta: np.ndarray, errors: np.ndarray, hidden: list[set[int]], i: int
) -> Constant:
    unit, at, error = simulation.units[i], float(theta[i]), float(errors[i])
    of_log = unit == 0

    def value(x: float) -> float:
        return math.exp(min(x, 700.0)) if of_log else unit * x

    span = simulation.high[i] - simulation.low[i]
    remark = ""
    groups = [group for group in hidden if i in group]
    if groups:
        others = [simulation.unknowns[j] for j in sorted(groups[0] - {i})]
        remark = "not identifiable" + (f" apart from {', '.join(others)}" if others else ": the log does not show it")
    elif min(at - simulation.low[i], simulation.high[i] - at) <= AT_BOUND * max(1.0, abs(at)):
        remark = "at its bound"
    elif error > WIDEST or SIGMAS * error > span:
        remark = "not identifiable: its error is as large as itself"
    return Constant(
        name=simulation.unknowns[i],
        value=value(at),
        error=math.inf if groups else (value(at) * error if of_log else unit * error),
        low=value(at - SIGMAS * error),
        high=value(at + SIGMAS * error),
        remark=remark,
    )
