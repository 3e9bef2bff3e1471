# SPDX-License-Identifier: MIT
"""What a training run is to its caller: its settings, where it stands, what it came to, and how it may end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Estimator, ExitCode, TtzoError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.device.device import Evaluation
from ttzo.host_tools.training.answers import Answers
from ttzo.host_tools.training.guard import Event, Kind, describe


class SessionError(TtzoError):
    """A run that cannot go on."""


class Diverged(TtzoError):
    """A run whose loss went astray however often the rate was halved, or at its end."""

    exit_code = ExitCode.diverged


class Interrupted(TtzoError):
    """The person stopped the work; what was done is kept."""

    exit_code = ExitCode.interrupted


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step. `test` and `validation` are the last measurements on such rows (while validation
    rows are there, test rows are measured at the end alone), `rate` in steps a second."""

    step: int
    steps: int
    loss: float
    evaluations: int
    rate: float
    test: Evaluation | None
    validation: Evaluation | None = None


@dataclass(frozen=True)
class Run:
    """What a call of `train` came to. `loss` is the last step's; `evaluations`, `seconds`, and of its steps `macs` and
    `instructions` are those of the whole run, as far as the device counts them."""

    folder: Path
    step: int
    steps: int
    resumed_from: int
    loss: float | None
    evaluations: int
    macs: int
    instructions: int | None
    seconds: float
    resident: bool
    test: Evaluation
    validation: Evaluation | None = None
    answers: Answers | None = None
    events: tuple[Event, ...] = ()  # of the guard

    @property
    def last_loss(self) -> float:
        """`loss`; NaN where this call took no step."""
        return math.nan if self.loss is None else self.loss


def no_validation_rows(plan: Plan) -> SessionError:
    take_some = "" if plan.pde else "take some out of the training rows with --validation 0.1, or "
    return SessionError(
        "the run has no validation rows, by which the best parameters are chosen",
        f"{take_some}leave out --keep and --patience",
    )


def require_trained(plan: Plan) -> None:
    """Raises `SessionError` for a plan of which every parameter is frozen."""
    if not plan.n_parameters:
        raise SessionError(
            "every parameter of this model is frozen", "export the run again without --frozen, or with --freeze NAME"
        )


def run_settings(exported: Training, changes: Mapping[str, Any]) -> Training:
    """The schedule with `changes` (names: `train_defaults.RUN_SETTINGS`; None: not given; several values: one for each phase).

    Raises `SessionError` for a setting that is fixed at export, `PlanError` for a value out of range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    fixed = [name for name in given if name not in train_defaults.RUN_SETTINGS]
    if any(phase.is_gauss_newton for phase in exported.phases) and "n_queries" in given:
        fixed.append("n_queries")  # the memory of its columns is
    if any(phase.estimator == Estimator.coordinate_gn for phase in exported.phases) and "n_coordinates" in given:
        fixed.append("n_coordinates")
    if fixed:
        raise SessionError(
            f"{fixed[0]} is fixed at export",
            f"export again with it; a run can change {', '.join(train_defaults.RUN_SETTINGS)}",
        )
    return train_defaults.overridden(exported, given)


def rates_of(settings: Training) -> tuple[float, ...]:
    """The learning rate of each phase, as float32: a checkpoint and a device hold no other."""
    return tuple(float(np.float32(phase.learning_rate)) for phase in settings.phases)


def slowed(settings: Training, factor: float) -> Training:
    """The settings with all learning rates multiplied by `factor`."""
    phases = (replace(phase, learning_rate=phase.learning_rate * factor) for phase in settings.phases)
    return replace(settings, phases=tuple(phases))


def diverged(event: Event, best: float | None, path: Path) -> Diverged:
    """The end of a run after that return. `best`: the lowest loss, None where there is none; `path`: its parameters."""
    return Diverged(
        f"the run has diverged: {describe(replace(event, kind=Kind.gave_up), '')}"
        + (f", whose loss is {best:.4g}" if best is not None else ""),
        "a smaller --lr and more --steps go on from these parameters; with --restart the run starts again"
        f"; {path} holds them too (--generation best)",
    )
