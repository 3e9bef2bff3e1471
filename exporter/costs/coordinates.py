# SPDX-License-Identifier: MIT
"""What a step of coordinate_gn costs: its columns, counted as the device counts them."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import LIMIT, Need, PhaseRecord, Sampler
from ttzo.exporter.pde.program import Pde
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase


@dataclass(frozen=True)
class JetShape:
    """How many numbers of a unit's jet stand beside its value: first derivatives, second ones (1: their weighted sum) and
    derivatives along directions. Twin of `struct ttzo_jet_shape`."""

    n_first: int
    n_second: int
    n_along: int
    sums: bool

    @property
    def width(self) -> int:
        return 1 + self.n_first + self.n_second + self.n_along


def jet_shape(pde: Pde, needs: int) -> JetShape:
    """Of rows with these needs."""
    first = pde.n_directions if needs & ~Need.along else 0
    own = pde.n_directions if needs & (Need.laplacian | Need.diagonal) else 0
    sums = pde.n_outputs == 1 and first > 0
    along = sum(each.order for each in pde.directions) if needs & Need.along else 0
    return JetShape(first, 1 if sums else own, along, sums)


def jet_width(pde: Pde) -> int:
    """The largest width of all rows."""
    return max(jet_shape(pde, group.condition.needs).width for group in pde.groups)


def _weight_macs(plan: Plan, number: int, width: int) -> int:
    """One parameter of layer `number`: its unit, and what it changes in the layers after it."""
    layers, changed, total = plan.layers, 1, 3 * width
    for layer in layers[number + 1 : -1]:
        total += layer.out_features * (changed + 3) * width
        changed = layer.out_features
    return total + plan.out_features * changed * width


def _row_macs(plan: Plan, width: int) -> tuple[int, list[int]]:
    """Of a row whose jets have `width` numbers: the jets themselves, and the column of each coordinate."""
    whole = plan.macs * plan.passes
    if plan.chain is None:  # the residual beside each parameter
        return whole, [whole] * plan.n_coordinates
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
        jets, columns = _row_macs(plan, jet_shape(plan.equation, group.condition.needs).width)
        sides = 2 if group.sampler == Sampler.opposite and plan.chain is not None else 1
        points = group.count * sides
        total += sweeps * points * (blocks * jets + sum(columns))
    return total


def feature_evaluations(plan: Plan) -> int:
    """Of a step of frozen_features, in loss evaluations, rounded up: at theta, the columns, at what was drawn."""
    whole, last = plan.batch * plan.macs * plan.passes, plan.layers[-1]
    total = 2 * whole
    for group in plan.equation.groups:
        width = jet_shape(plan.equation, group.condition.needs).width
        jets, _ = _row_macs(plan, width)
        total += group.count * (2 if group.sampler == Sampler.opposite else 1) * (jets + width * last.n_parameters)
    return -(-total // whole)


def evaluations(plan: Plan, phase: Phase | PhaseRecord, tries: int = LIMIT["gn_tries"]) -> int:
    """The same in loss evaluations, rounded up."""
    return -(-step_macs(plan, phase, tries) // (plan.batch * plan.macs * plan.passes))
