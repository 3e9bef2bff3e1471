# SPDX-License-Identifier: MIT
"""The zoo's simulations, their constants found from noisy logs on `native:`, and by Nelder-Mead with as many simulations.

Logs are made in float64 by much finer integration, written here in plain Python, than the one that is fitted.
"""

import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.exporter import ode
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.export import plan_of
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.read_log import Log, make_log
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.research.reproduce.cell import ReproduceError
from ttzo.host_tools.training.identify import identify

FINER = 10  # integration steps of a log's truth for one of the fit
OFF_BY = 3.0  # starts are wrong by up to this factor
HEADING = ("model", "constant", "largest error", "in its interval", "held out / noise", "simulations", "Nelder-Mead, largest error", "its cost / ours", "RAM")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model with its true constants, times, noise, and inputs (n, M) drawn with a generator."""

    name: str
    truth: dict[str, float]
    times: np.ndarray
    noise: float
    inputs: Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Fit:
    """One log: for each constant its relative error and whether it lies in its 95 % interval; residuals of held-out rows and
    cost beside the best that Nelder-Mead reached."""

    case: str
    seed: int
    names: tuple[str, ...]
    errors: tuple[float, ...]
    inside: tuple[bool, ...]
    held_over_noise: float
    simulations: int
    converged: bool
    rival_errors: tuple[float, ...]
    rival_cost: float
    ram_bytes: int


def _switched(rng: np.random.Generator, n: int, every: int, levels: tuple[float, ...]) -> np.ndarray:
    return np.repeat(rng.choice(levels, n // every + 1), every)[:n]


def _house_inputs(rng: np.random.Generator) -> np.ndarray:
    hours = np.arange(1440) / 60
    outdoor = 5 + 4 * np.sin(2 * np.pi * (hours - 9) / 24)
    return np.stack([outdoor, _switched(rng, 1440, 30, (0.0, 4.0))], 1)


def _heater_inputs(rng: np.random.Generator) -> np.ndarray:
    power = _switched(rng, 600, 60, (0.0, 20.0))
    power[60:120] = 20.0  # so that no log is without heat
    return np.stack([np.full(600, 22.0), power], 1)


def _battery_inputs(rng: np.random.Generator) -> np.ndarray:
    return _switched(rng, 3600, 120, (0.0, 0.5, 1.5, 3.0, 4.0))[:, None]


CASES = (
    Case("house", {"C_room": 0.5, "C_walls": 6.0, "R_inside": 1.6, "R_outside": 5.0}, np.arange(1440) / 60, 0.1, _house_inputs),
    Case("heater", {"gain": 2.0, "tau": 80.0, "lag": 8.0}, np.arange(600.0), 0.2, _heater_inputs),
    Case("battery", {"capacity": 2.5, "R_series": 0.05, "R_pair": 0.03, "tau": 40.0}, np.arange(3600.0), 0.005, _battery_inputs),
)  # fmt: skip


# ---- logs -----------------------------------------------------------------------------------------------------------


def simulated(
    model: ode.Model, constants: dict[str, float], times: np.ndarray, inputs: np.ndarray, finer: int = 1
) -> np.ndarray:
    """What the model's columns measure, float64 (n, Y); `finer`: integration steps for one of the model's."""
    names, linear = tuple(model.inputs), [name in model.linear for name in model.inputs]
    first = ode.Moment(dict(zip(names, map(float, inputs[0]), strict=True)) | constants)  # type: ignore[arg-type]
    state = [float(value(first) if callable(value) else value) for value in model.states.values()]  # type: ignore[arg-type]
    states = [list(state)]

    def rates(at: list[float], given: list[float]) -> list[float]:
        values: Any = dict(zip(model.states, at, strict=True)) | dict(zip(names, given, strict=True)) | constants
        made: Any = model.rates(ode.Moment(values))
        return [made[name] for name in model.states]

    for row in range(1, len(times)):
        span = float(times[row] - times[row - 1])
        n = finer * max(1, math.ceil(span / model.substep - 1e-6))
        before, after = map(list, (inputs[row - 1], inputs[row]))
        state = _advanced(rates, state, span / n, n, before, after, linear)
        states.append(state)
    columns = np.array(states).T
    values: Any = dict(zip(model.states, columns, strict=True)) | dict(zip(names, inputs.T, strict=True)) | constants
    moment, read = ode.Moment(values), []
    for measured in model.measured.values():
        holds = measured.holds if isinstance(measured, ode.Measured) else measured
        read.append(np.asarray(moment[holds] if isinstance(holds, str) else holds(moment), float))
    return np.stack(read, 1)


def _advanced(rates, state, h, n, before, after, linear) -> list[float]:
    for k in range(n):
        inputs = [
            [b + (k + part) / n * (a - b) if line else b for b, a, line in zip(before, after, linear, strict=True)]
            for part in (0.0, 0.5, 1.0)
        ]
        k1 = rates(state, inputs[0])
        k2 = rates([y + h / 2 * r for y, r in zip(state, k1, strict=True)], inputs[1])
        k3 = rates([y + h / 2 * r for y, r in zip(state, k2, strict=True)], inputs[1])
        k4 = rates([y + h * r for y, r in zip(state, k3, strict=True)], inputs[2])
        state = [y + h / 6 * (a + 2 * b + 2 * c + d) for y, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)]
    return state


def log_of(case: Case, simulation: Simulation, seed: int) -> tuple[Log, np.ndarray, np.ndarray]:
    """A noisy log, its inputs and what was measured."""
    rng = np.random.default_rng(seed)
    inputs = case.inputs(rng)
    exact = simulated(plan_model(case.name), case.truth, case.times, inputs, FINER)
    measured = exact + rng.normal(size=exact.shape) * case.noise
    return make_log(simulation, case.times, inputs, measured, name=f"{case.name}, seed {seed}"), inputs, measured


def plan_model(name: str) -> ode.Model:
    from ttzo.exporter.zoo.simulations import SIMULATIONS

    return SIMULATIONS[name]()


# ---- fits -----------------------------------------------------------------------------------------------------------


def fits(n_seeds: int, device: str = "native:", cases: tuple[Case, ...] = CASES) -> Iterator[Fit]:
    """One after the other. Raises `ReproduceError` without scipy."""
    for case in cases:
        plan = plan_of(case.name)
        for seed in range(n_seeds):
            assert plan.simulation is not None  # the zoo's
            log, inputs, measured = log_of(case, plan.simulation, seed)
            truth = np.array([case.truth[name] for name in plan.simulation.unknowns])
            factors = np.random.default_rng(1000 + seed).uniform(-1, 1, len(truth))
            start = truth * OFF_BY**factors
            begun = dataclasses.replace(
                plan,
                parameters=plan.simulation.theta(start).astype(np.float32),
                training=dataclasses.replace(plan.training, seed=seed),
            )
            with tempfile.TemporaryDirectory() as folder:
                bundle = Path(folder) / "model.ttzo"
                bundle.write_bytes(to_bundle.write(begun))
                with open_device(device, bundle) as at:
                    found = identify(at, log, Path(folder) / "run")
            rows = int(0.8 * len(case.times))
            rival, cost = _nelder_mead(case, start, inputs[:rows], measured[:rows], found.simulations)
            constants = found.found.constants
            own = np.array([c.value for c in constants])
            yield Fit(
                case.name,
                seed,
                plan.simulation.unknowns,
                tuple(np.abs(own / truth - 1)),
                tuple(bool(c.low <= t <= c.high) for c, t in zip(constants, truth, strict=True)),
                found.found.held_noise / case.noise,
                found.simulations,
                found.converged,
                tuple(np.abs(rival / truth - 1)),
                cost / _cost(case, own, inputs[:rows], measured[:rows]),
                work_bytes(plan),
            )


def _cost(case: Case, constants: np.ndarray, inputs: np.ndarray, measured: np.ndarray) -> float:
    given = dict(zip(case.truth, map(float, constants), strict=True))
    with np.errstate(all="ignore"):
        try:
            made = simulated(plan_model(case.name), given, case.times[: len(inputs)], inputs)
            cost = float(((made - measured) ** 2).sum())
        except OverflowError:
            return 1e30
    return cost if math.isfinite(cost) else 1e30


def _nelder_mead(
    case: Case, start: np.ndarray, inputs: np.ndarray, measured: np.ndarray, n_simulations: int
) -> tuple[np.ndarray, float]:
    """The constants after so many simulations from the same start, in logarithms, and their cost."""
    try:
        from scipy.optimize import minimize  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ReproduceError(
            f"Nelder-Mead is scipy's, which is not installed ({error})", "pip install scipy"
        ) from error
    found = minimize(
        lambda theta: _cost(case, np.exp(theta), inputs, measured),
        np.log(start),
        method="Nelder-Mead",
        options={"maxfev": n_simulations, "xatol": 1e-9, "fatol": 1e-12},
    )
    return np.exp(found.x), float(found.fun)


# ---- the table ------------------------------------------------------------------------------------------------------


def rows(found: list[Fit]) -> list[tuple[str, ...]]:
    """A row for each constant of each model; what belongs to the model stands in its first row."""
    made: list[tuple[str, ...]] = []
    for name in dict.fromkeys(fit.case for fit in found):
        of_case = [fit for fit in found if fit.case == name]
        errors, inside = np.array([f.errors for f in of_case]), np.array([f.inside for f in of_case])
        rivals = np.array([f.rival_errors for f in of_case])
        held = np.array([f.held_over_noise for f in of_case])
        counts, costs = [f.simulations for f in of_case], [f.rival_cost for f in of_case]
        for i, constant in enumerate(of_case[0].names):
            whole = (
                f"{held.mean():.2f} ({held.min():.2f} to {held.max():.2f})",
                f"{min(counts)} to {max(counts)}",
                f"{100 * rivals[:, i].max():.3g} %",
                f"{np.median(costs):.3g} ({min(costs):.3g} to {max(costs):.3g})",
                f"{of_case[0].ram_bytes:,} bytes",
            )
            shown = whole if i == 0 else ("", "", whole[2], "", "")
            made.append((name if i == 0 else "", constant, f"{100 * errors[:, i].max():.2f} %", f"{inside[:, i].sum()} of {len(of_case)}", *shown))  # fmt: skip
    return made


def verdicts(found: list[Fit]) -> list[str]:
    """What the table shows, in sentences."""
    inside = [each for fit in found for each in fit.inside]
    lost = sum(not fit.converged for fit in found)
    return [
        f"largest error {100 * max(max(fit.errors) for fit in found):.2f} %",
        f"{sum(inside)} of {len(inside)} (constant, seed) pairs inside their 95 % intervals ({100 * np.mean(inside):.1f} %)",
        f"Nelder-Mead's cost was higher in {sum(fit.rival_cost > 1 for fit in found)} of {len(found)} logs at the same number of simulations",
        f"{len(found) - lost} of {len(found)} fits converged",
    ]


def to_json(found: list[Fit]) -> str:
    """All fits and their table; `from_json` reads the fits again."""
    page = {"rows": rows(found), "verdicts": verdicts(found), "fits": [dataclasses.asdict(each) for each in found]}
    return json.dumps(page, indent=1, default=float) + "\n"


def from_json(text: str) -> list[Fit]:
    made = []
    for page in json.loads(text)["fits"]:
        fields: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in page.items()}
        made.append(Fit(**fields))
    return made


def to_markdown(found: list[Fit]) -> str:
    lines = ["| " + " | ".join(HEADING) + " |", "|" + "---|" * len(HEADING)]
    lines += ["| " + " | ".join(row) + " |" for row in rows(found)]
    return "\n".join([*lines, "", *(f"- {verdict}" for verdict in verdicts(found)), ""])
