# SPDX-License-Identifier: MIT
"""Twin of settings.c: which settings are in range, and which are fixed at export."""

from ttzo.device_runtime.contract import LIMIT, DeviceError, Estimator, PhaseRecord, TrainingRecord, first_outside
from ttzo.exporter.costs.memory import difference_capacity
from ttzo.exporter.plan.plan import Plan

FIXED = ("estimator", "direction", "difference", "update")


def check_settings(training: TrainingRecord, phases: tuple[PhaseRecord, ...]) -> None:
    """Raises `DeviceError("bad_setting", number)`: fields of training from 0, those of phase p from setting_numbers (p + 1)."""
    groups = [first_outside("training", training)]
    groups += [first_outside("phase", phase) for phase in phases[: training.n_phases]]
    for group, field in enumerate(groups):
        if field is not None:
            raise DeviceError("bad_setting", LIMIT["setting_numbers"] * group + field)


def check_fixed(training: TrainingRecord, phases: tuple[PhaseRecord, ...], exported: Plan) -> None:
    """Raises `DeviceError("fixed_at_export", number)` when the settings ask for another estimator or update rule."""
    if training.n_phases != len(exported.training.phases):
        raise DeviceError("fixed_at_export", 2)
    for number, (wanted, given) in enumerate(zip(phases, exported.training.phases, strict=False)):
        for field, name in enumerate(FIXED):
            if getattr(wanted, name) != getattr(given, name):
                raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + field)
        if given.estimator == Estimator.rge and wanted.n_queries > difference_capacity(exported):
            raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + 4)
        if given.estimator == Estimator.coordinate_gn and wanted.n_coordinates != given.n_coordinates:
            raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + 11)
        if given.is_gauss_newton and wanted.n_queries != given.n_queries:
            raise DeviceError("fixed_at_export", LIMIT["setting_numbers"] * (number + 1) + 4)
