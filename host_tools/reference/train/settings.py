# SPDX-License-Identifier: MIT
"""Twin of settings.c: which settings are in range, and which are fixed at export."""

import math

from ttzo.device_runtime.contract import (
    LIMIT,
    DeviceError,
    Difference,
    Direction,
    Estimator,
    PhaseRecord,
    Schedule,
    TrainingRecord,
    Update,
)
from ttzo.exporter.costs.memory import difference_capacity
from ttzo.exporter.plan.plan import Plan

FIXED = ("estimator", "direction", "difference", "update")


def _at_least(value: float, least: float) -> bool:
    return math.isfinite(value) and value >= least


def _training_checks(t: TrainingRecord) -> list[bool]:
    return [
        True,  # seed
        t.steps >= 1,
        1 <= t.n_phases <= LIMIT["max_phases"],
        t.schedule <= max(Schedule),
        t.plateau_patience >= 1,
        True,  # warmup_steps
        t.decay_every >= 1,
        _at_least(t.decay_factor, 0),
        t.plateau_window >= 1,
        _at_least(t.plateau_tolerance, 0),
    ]


def _phase_checks(p: PhaseRecord) -> list[bool]:
    return [
        p.estimator <= max(Estimator),
        p.direction <= max(Direction),
        p.difference <= max(Difference),
        p.update <= max(Update),
        1 <= p.n_queries <= LIMIT["max_queries"],
        _at_least(p.perturb_radius, 1e-30),
        _at_least(p.learning_rate, 0),
        0 <= p.beta1 < 1,
        0 <= p.beta2 < 1,
        _at_least(p.epsilon, 0),
        _at_least(p.clip_norm, 0),
    ]


def check_settings(training: TrainingRecord, phases: tuple[PhaseRecord, ...]) -> None:
    """Raises `DeviceError("bad_setting", number)`: fields of training from 0, those of phase p from setting_numbers (p + 1)."""
    groups = [_training_checks(training), *map(_phase_checks, phases[: training.n_phases])]
    for group, checks in enumerate(groups):
        if not all(checks):
            raise DeviceError("bad_setting", LIMIT["setting_numbers"] * group + checks.index(False))


def check_fixed(training: TrainingRecord, phases: tuple[PhaseRecord, ...], exported: Plan) -> None:
    """Raises `DeviceError("fixed_at_export", number)` when the settings want another estimator or update rule."""
    if training.n_phases != len(exported.training.phases):
        raise DeviceError("fixed_at_export", 2)
    for number, (wanted, given) in enumerate(zip(phases, exported.training.phases, strict=False)):
        for field, name in enumerate(FIXED):
            if getattr(wanted, name) != getattr(given, name):
                raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + field)
        if given.estimator == Estimator.rge and wanted.n_queries > difference_capacity(exported):
            raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + 4)
        if given.is_gauss_newton and wanted.n_queries != given.n_queries:
            raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + 4)
