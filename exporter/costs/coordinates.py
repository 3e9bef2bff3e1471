# SPDX-License-Identifier: MIT
"""What a step of coordinate_gn costs: its columns, counted as the device counts them."""

from ttzo.device_runtime.contract import LIMIT, PhaseRecord
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase


def _weight_macs(plan: Plan, number: int, width: int) -> int:
    """One parameter of layer `number`: its unit, and what it changes in the layers after it."""
    layers, changed, total = plan.layers, 1, 3 * width
    for layer in layers[number + 1 : -1]:
        total += layer.out_features * (changed + 3) * width
        changed = layer.out_features
    return total + changed * width


def _row_macs(plan: Plan, width: int) -> tuple[int, list[int]]:
    """Of a row whose jets have `width` numbers: the jets themselves, and the column of each coordinate."""
    whole = plan.macs * plan.passes
    if not plan.asks_all:
        return 2 * whole, [0] * plan.n_coordinates
    *before, last = plan.layers
    jets = sum(layer.in_features * layer.out_features * width for layer in before)
    columns = [width] * last.n_parameters
    for number, layer in enumerate(before):
        columns += [_weight_macs(plan, number, width)] * layer.n_parameters
    return whole + jets, columns


def step_macs(plan: Plan, phase: Phase | PhaseRecord, tries: int) -> int:
    """Multiply-accumulates of a step that tries so many ridges."""
    n, rows = plan.n_coordinates, plan.batch
    kept = n < rows or phase.n_coordinates >= n
    blocks = 1 if kept else -(-n // phase.n_coordinates)
    sweeps = 1 if kept else 1 + tries
    total = tries * rows * plan.macs * plan.passes
    for group in plan.equation.groups:
        jets, columns = _row_macs(plan, 2 + plan.equation.n_directions if group.condition.needs else 1)
        total += sweeps * group.count * (blocks * jets + sum(columns))
    return total


def evaluations(plan: Plan, phase: Phase | PhaseRecord, tries: int = LIMIT["gn_tries"]) -> int:
    """The same in loss evaluations, rounded up."""
    return -(-step_macs(plan, phase, tries) // (plan.batch * plan.macs * plan.passes))
