# SPDX-License-Identifier: MIT
"""The names people use for a training method, what they stand for, and sensible settings for each.

| estimator  | phases                                                                        |
|------------|-------------------------------------------------------------------------------|
| `rge`      | random directions (paper eq. 2), momentum                                     |
| `sign_rge` | random directions, steps of the gradient's sign (the paper's ZO-signRGE)      |
| `cge`      | one coordinate after the other, momentum, gradient clipped at norm 1          |
| `cge_plain`| the same by whole loss evaluations: its reference, hundreds of times slower   |
| `node_cge` | one difference for each unit, parameters' derivatives assembled from them     |
| `chain_differences` | difference quotients carried backwards, layer by layer                |
| `block_rge`| random directions of one core, weight or bias at a time                       |
| `cocd`     | the next coordinates in turn, the others' estimates decay (arXiv 2605.14373)  |
| `hybrid`   | `sign_rge` until the loss stops falling, then `cge` with the paper's momentum |
| `subspace_gn`   | Gauss-Newton on a PDE's residuals in random directions                   |
| `last_layer_gn` | the same, with all of the last layer solved for                          |
| `coordinate_gn` | the same in unit directions: a column for each parameter                 |
| `frozen_features` | one least squares over the last layer behind units drawn anew in each step |

A setting of a phase may be one value for all phases or one for each, as in `lr=(1e-3, 0.1)`.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ttzo.device_runtime.contract import RANGE, Difference, Direction, Estimator, Range, Schedule, Update
from ttzo.device_runtime.contract.ranges import LARGEST_FLOAT32
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.training import GAUSS_NEWTON, Phase, Training

Member = TypeVar("Member", bound=enum.IntEnum)

ESTIMATORS = (
    "rge",
    "sign_rge",
    "cge",
    "cge_plain",
    "node_cge",
    "chain_differences",
    "block_rge",
    "cocd",
    "hybrid",
    "subspace_gn",
    "last_layer_gn",
    "coordinate_gn",
    "frozen_features",
)
COORDINATES = (
    Estimator.cge,
    Estimator.cge_plain,
    Estimator.node_cge,
    Estimator.chain_differences,
)  # every derivative anew in every step

# Learning rates that fit an estimator and an update rule. `sgd`, `momentum` and `ema_momentum` of one estimator take
# steps of about equal length: momentum's are 1 / (1 - 0.9) times its rate, ema_momentum's are its rate.
_OF_DIRECTIONS = {
    Update.sgd: 0.1,
    Update.momentum: 0.01,
    Update.ema_momentum: 0.1,
    Update.adam: 0.02,
    Update.sign: 1e-3,
}
_OF_COORDINATES = {
    Update.sgd: 1.0,
    Update.momentum: 0.1,
    Update.ema_momentum: 1.0,
    Update.adam: 0.04,
    Update.sign: 1e-3,
}
_OF_STALE_COORDINATES = {
    Update.sgd: 0.1,
    Update.momentum: 0.01,
    Update.ema_momentum: 0.1,
    Update.adam: 1e-3,
    Update.sign: 3e-4,
}
LEARNING_RATES = {
    (estimator, update): rate
    for estimators, rates in (
        ((Estimator.rge, Estimator.block_rge), _OF_DIRECTIONS),
        (COORDINATES, _OF_COORDINATES),
        ((Estimator.cocd,), _OF_STALE_COORDINATES),
    )
    for estimator in estimators
    for update, rate in rates.items()
} | {(estimator, Update.sgd): 1.0 for estimator in GAUSS_NEWTON}


class UnreadSetting(PlanError):
    """A setting (its `name`) that an estimator, its update rule or the schedule does not read."""

    def __init__(self, what: str, name: str, hint: str):
        super().__init__(f"{what} has no setting {name}", hint)
        self.name = name


@dataclasses.dataclass(frozen=True)
class Method:
    """How a model is trained where a person chooses no estimator (choose/method.py); what is chosen goes before it.

    learning_rate: of `update`; rate_of_numbers: the same where the target is numbers, None: as for classes; warmup_steps: at most a tenth of all. steps: of a run without rows (an equation); with
    rows, `steps_for` counts them."""

    estimator: str
    update: Update
    learning_rate: float
    rate_of_numbers: float | None = None
    schedule: Schedule = Schedule.linear
    warmup_steps: int = 100
    batch: int = 32
    steps: int = 1000


# The one table of what trains where nothing is chosen, in the order in which they are tried: the first that works on the
# model, costs no more than AFFORDABLE_MACS a step, and fits the board. `tests/vectors/default_training.py` measures it.
METHODS = (
    Method("coordinate_gn", Update.sgd, 1.0, warmup_steps=0, steps=300),  # equations, where it asks all parameters
    Method("subspace_gn", Update.sgd, 1.0, schedule=Schedule.constant, warmup_steps=0, steps=300),  # other equations
    Method("node_cge", Update.momentum, 0.1, 0.06),
    Method("cge", Update.momentum, 0.1, 0.06),  # where node_cge does not work: convolutions
    Method("rge", Update.adam, 0.005),  # what is too large for cge
)
ALL_COLUMNS = int(RANGE["phase"]["n_coordinates"].most)  # of coordinate_gn at once: none is made twice
AFFORDABLE_MACS = 100_000_000  # of a step: a quarter of a second on a laptop, ten seconds on a Cortex-M4F
FEWEST_EPOCHS = 3
MOST_EPOCHS = 100
ROWS_SEEN = 64_000  # with repetitions, where that is neither fewer nor more epochs
OF_NUMBERS = 2  # what the last two are multiplied by where the target is numbers


def steps_for(n_rows: int, batch: int, has_classes: bool = True) -> int:
    """Steps of a run on `n_rows` training rows where nobody says how many."""
    factor = 1 if has_classes else OF_NUMBERS
    seen = max(FEWEST_EPOCHS * n_rows, factor * min(MOST_EPOCHS * n_rows, ROWS_SEEN))
    return max(1, -(-seen // batch))


PHASE_SETTINGS = {
    "direction": "direction",
    "difference": "difference",
    "n_queries": "n_queries",
    "mu": "perturb_radius",
    "lr": "learning_rate",
    "beta1": "beta1",
    "beta2": "beta2",
    "epsilon": "epsilon",
    "clip": "clip_norm",
    "n_coordinates": "n_coordinates",
    "stale_decay": "stale_decay",
    "ridge": "ridge",
    "trust_radius": "trust_radius",
}  # name of the option -> field of Phase
TRAINING_SETTINGS = tuple(field.name for field in dataclasses.fields(Training) if field.name != "phases")
SETTINGS = ("estimator", "update", *PHASE_SETTINGS, *TRAINING_SETTINGS)  # every name that `overridden` knows
# what a run may change after the export too
RUN_SETTINGS = (
    "steps",
    "seed",
    "n_queries",
    "mu",
    "lr",
    "beta1",
    "beta2",
    "epsilon",
    "clip",
    "n_coordinates",
    "stale_decay",
    "ridge",
    "trust_radius",
)
# Who reads a setting, where not everybody does: estimators, update rules, schedules.
_WITH_DECAY = frozenset({Update.momentum, Update.ema_momentum, Update.adam})
_ALL_ESTIMATORS = frozenset(Estimator)
_READ_BY_ESTIMATORS = {
    "direction": frozenset({Estimator.rge, Estimator.block_rge}),
    "difference": _ALL_ESTIMATORS - GAUSS_NEWTON,
    "n_queries": frozenset({Estimator.rge, Estimator.block_rge, Estimator.subspace_gn, Estimator.last_layer_gn}),
    "lr": _ALL_ESTIMATORS - {Estimator.frozen_features},
    "clip": _ALL_ESTIMATORS - GAUSS_NEWTON,
    "n_coordinates": frozenset({Estimator.cocd, Estimator.coordinate_gn}),
    "stale_decay": frozenset({Estimator.cocd}),
    "ridge": GAUSS_NEWTON,
    "trust_radius": GAUSS_NEWTON - {Estimator.frozen_features},
}
_READ_BY_UPDATES = {
    "beta1": _WITH_DECAY,
    "beta2": frozenset({Update.adam}),
    "epsilon": frozenset({Update.adam}),
    "clip": frozenset(Update) - {Update.sign},
}
_READ_BY_STEPS = ("decay_every", "decay_factor")  # the schedule `step`
_READ_BETWEEN_PHASES = ("plateau_window", "plateau_patience", "plateau_tolerance")
# The setting that a person may have meant by another's name.
_MEANT = {
    ("n_queries", Estimator.cocd): "n_coordinates",
    ("beta2", Estimator.cocd): "stale_decay",
    ("n_queries", Estimator.coordinate_gn): "n_coordinates",
    **{("epsilon", estimator): "ridge" for estimator in GAUSS_NEWTON},
    **{("clip", estimator): "trust_radius" for estimator in _READ_BY_ESTIMATORS["trust_radius"]},
}

_ENUMS = {"direction": Direction, "difference": Difference, "schedule": Schedule, "update": Update}
_RANGES = {name: RANGE["phase"][field] for name, field in PHASE_SETTINGS.items() if field in RANGE["phase"]} | {
    name: RANGE["training"][name] for name in TRAINING_SETTINGS
}


def default_phases(estimator: str, update: Update | None = None) -> tuple[Phase, ...]:
    """The phases that a friendly name stands for; `update` replaces the usual rule (of `hybrid`, the second phase's).

    Raises `PlanError` for an unknown name, and for another rule than `sign` with `sign_rge`.
    """
    if estimator == "rge":
        return (_phase(Estimator.rge, Update.momentum if update is None else update),)
    if estimator == "sign_rge":
        if update not in (None, Update.sign):
            raise PlanError("sign_rge always updates by the sign", f"use estimator rge with update {update.name}")
        return (_phase(Estimator.rge, Update.sign),)
    if estimator in ("subspace_gn", "last_layer_gn", "coordinate_gn", "frozen_features"):
        if update not in (None, Update.sgd):
            raise PlanError(f"{estimator} computes whole steps, without an update rule", "leave the update rule out")
        return (_gauss_newton(Estimator[estimator]),)
    if estimator in ("cge", "cge_plain", "node_cge", "chain_differences", "block_rge"):
        return (_phase(Estimator[estimator], Update.momentum if update is None else update),)
    if estimator == "cocd":
        return (_phase(Estimator.cocd, Update.sgd if update is None else update),)
    if estimator == "hybrid":
        second = _phase(Estimator.cge, Update.ema_momentum if update is None else update)
        return (*default_phases("sign_rge"), second)
    raise PlanError(f"there is no estimator {estimator!r}", f"choose one of {', '.join(ESTIMATORS)}")


def _gauss_newton(estimator: Estimator) -> Phase:
    made = Phase(
        estimator=estimator,
        update=Update.sgd,
        n_queries=16,
        perturb_radius=1e-2 if estimator == Estimator.last_layer_gn else 1e-3,
        learning_rate=LEARNING_RATES[estimator, Update.sgd],
    )
    if estimator == Estimator.frozen_features:  # differences of 1 are exact where the equation is linear
        return dataclasses.replace(made, n_queries=1, perturb_radius=1.0, ridge=1e-8, trust_radius=0.0)
    if estimator != Estimator.coordinate_gn:
        return made
    return dataclasses.replace(made, n_queries=1, n_coordinates=ALL_COLUMNS, ridge=1e-3, trust_radius=0.0)


def _phase(estimator: Estimator, update: Update) -> Phase:
    return Phase(
        estimator=estimator,
        update=update,
        learning_rate=LEARNING_RATES[estimator, update],
        clip_norm=1.0
        if estimator in (*COORDINATES, Estimator.cocd) and update not in (Update.adam, Update.sign)
        else 0.0,
    )


def estimator_name(training: Training) -> str:
    """The friendly name of a training's phases."""
    names = ["sign_rge" if _is_sign_rge(phase) else phase.estimator.name for phase in training.phases]
    return names[0] if len(names) == 1 else "hybrid"


def _is_sign_rge(phase: Phase) -> bool:
    return phase.estimator == Estimator.rge and phase.update == Update.sign


def overridden(base: Training, settings: Mapping[str, Any], all_read: bool = True) -> Training:
    """`base` with the given settings (names: `SETTINGS`; None means not given).

    Another estimator or update rule brings its own default phases; within them `settings` decide. Enumerations may be
    given by name. Raises `PlanError` naming a setting that is unknown, of the wrong kind or out of range, and
    `UnreadSetting` for one that nothing would read; not without `all_read`, where another estimator is chosen later.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        if name not in SETTINGS:
            raise PlanError(f"there is no training setting {name!r}", f"the settings are {', '.join(SETTINGS)}")
    phases = _base_phases(base, given)
    schedule = _checked("schedule", given.get("schedule", base.schedule))
    for name in given if all_read else ():
        _require_use(name, phases, schedule)
    for name, field in PHASE_SETTINGS.items():
        if name in given:
            values = _one_each(name, given[name], len(phases))
            phases = [
                dataclasses.replace(phase, **{field: _checked(name, value)})
                for phase, value in zip(phases, values, strict=True)
            ]
    changes = {name: _checked(name, given[name]) for name in TRAINING_SETTINGS if name in given}
    return dataclasses.replace(base, phases=tuple(phases), **changes)


def _require_use(name: str, phases: Sequence[Phase], schedule: Schedule) -> None:
    """Raises `UnreadSetting` for a setting that nothing reads: no phase, not the schedule."""
    used = ", ".join(phase.estimator.name for phase in phases)
    meant = [_MEANT.get((name, phase.estimator)) for phase in phases]
    if all(meant) and not (name == "beta2" and phases[-1].update == Update.adam):
        raise UnreadSetting(used, name, f"use {meant[0]}: that is what {used} calls it")
    estimators = _READ_BY_ESTIMATORS.get(name, _ALL_ESTIMATORS)
    updates = _READ_BY_UPDATES.get(name, frozenset(Update))
    if not any(phase.estimator in estimators for phase in phases):
        raise UnreadSetting(used, name, _setting_of(estimators))
    if not any(phase.estimator in estimators and phase.update in updates for phase in phases):
        raise UnreadSetting(f"update {', '.join(phase.update.name for phase in phases)}", name, _setting_of(updates))
    if name in _READ_BY_STEPS and schedule != Schedule.step:
        raise UnreadSetting(f"schedule {schedule.name}", name, "leave it out, or choose schedule step")
    if name in _READ_BETWEEN_PHASES and len(phases) == 1:
        raise UnreadSetting(used, name, "leave it out; it says when hybrid begins its second phase")


def _setting_of(readers: frozenset) -> str:
    *others, last = sorted(reader.name for reader in readers if reader is not Estimator.simulation_gn)
    return f"leave it out; it is a setting of {', '.join(others)}{' and ' * bool(others)}{last}"


def _base_phases(base: Training, given: Mapping[str, Any]) -> list[Phase]:
    estimator = given.get("estimator", estimator_name(base))
    update = _checked("update", given["update"]) if "update" in given else None
    same_update = update in (None, base.phases[-1].update)
    if estimator == estimator_name(base) and same_update:
        return list(base.phases)
    if estimator == "sign_rge" and "estimator" not in given:
        estimator = "rge"  # the base's name came from its update rule, which is now another
    return list(default_phases(estimator, update))


def _one_each(name: str, value: Any, n_phases: int) -> list[Any]:
    if not isinstance(value, list | tuple):
        return [value] * n_phases
    if len(value) == 1:
        return list(value) * n_phases
    if len(value) != n_phases:
        raise PlanError(
            f"setting {name} has {len(value)} values for {n_phases} phases", "give one value, or one for each phase"
        )
    return list(value)


def _checked(name: str, value: Any) -> Any:
    """The value in its type, if in range."""
    if name in _ENUMS:
        return member(name, value, _ENUMS[name])
    allowed = _RANGES[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not allowed.holds(value) or allowed.is_whole and value != int(value):
        raise PlanError(f"setting {name} is {value!r}", f"give {_wanted(allowed)}")
    return int(value) if allowed.is_whole else float(value)


def _wanted(allowed: Range) -> str:
    kind = "whole number" if allowed.is_whole else "number"
    if allowed.most == LARGEST_FLOAT32:
        return f"a {kind} from {allowed.least:.9g} on"
    if allowed.is_whole:
        return f"a {kind} from {allowed.least} to {allowed.most}"
    return f"a {kind} from {allowed.least:.9g} to {allowed.most:.9g}"


def member(name: str, value: Any, kind: type[Member]) -> Member:
    """The member of that name, or the member itself. Raises `PlanError` naming the setting and what it can be."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value in kind.__members__:
        return kind[value]
    raise PlanError(f"setting {name} is {value!r}", f"choose one of {', '.join(kind.__members__)}")
