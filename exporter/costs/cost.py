# SPDX-License-Identifier: MIT
"""What an estimate costs in multiply-accumulates. For estimators that reuse environments this is the count where nothing
is zero; zeros and dead units, which the device leaves out, make it less."""

import math
from dataclasses import replace

from ttzo.device_runtime.contract import LIMIT, Difference, Estimator, LayerKind, PhaseRecord
from ttzo.exporter.costs import coordinates
from ttzo.exporter.costs.core_memory import (
    QUERIES_AT_ONCE,
    REUSING,
    Assembled,
    assembled_by,
    core_shapes,
    extents,
    halves,
    has_matrix,
    is_narrow,
    keeps_halves,
    keeps_matrix,
    matrix_factors,
    matrix_split,
    middle_core,
    quads_at_once,
    quads_of_slices,
    splits,
    stored_products,
)
from ttzo.exporter.costs.gathered_memory import gathered_gradient_macs
from ttzo.exporter.costs.graph_memory import blocks, graph_macs_a_row, other_owners, trained_layers
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import BY_UNITS, GAUSS_NEWTON, Phase

TAKE_QUERIES = frozenset({Estimator.rge, Estimator.block_rge})  # whose N can be chosen


def n_queries(plan: Plan, phase: Phase | PhaseRecord) -> int:
    """Queries of one estimate: its loss evaluations without the one at theta and without second sides."""
    if phase.estimator == Estimator.rge:
        return phase.n_queries
    if phase.estimator == Estimator.coordinate_gn:  # in loss evaluations
        return coordinates.evaluations(plan, phase) - 1
    if phase.estimator == Estimator.frozen_features:
        return coordinates.feature_evaluations(plan) - 1
    if phase.estimator in GAUSS_NEWTON:  # its directions, the last two steps, and the ridges it tries
        own = 2 * (phase.estimator == Estimator.subspace_gn) + len(plan.unknowns)
        return phase.n_queries + own + LIMIT["gn_tries"]
    if phase.estimator == Estimator.node_cge and plan.chain is None:
        units = sum(node.operation.n_outputs for node in trained_layers(plan))
        return units + sum(node.operation.n_parameters for node in other_owners(plan))
    if phase.estimator in BY_UNITS:
        return sum(layer.out_features for layer in plan.layers)
    if phase.estimator == Estimator.block_rge:
        return phase.n_queries * len(blocks(plan))
    return min(phase.n_coordinates, plan.n_parameters) if phase.estimator == Estimator.cocd else plan.n_parameters


def evaluations_a_step(plan: Plan, phase: Phase | PhaseRecord) -> int:
    """Loss evaluations of one step: one at theta, one for each query, two where it is antithetic."""
    sides = 1 if phase.estimator in GAUSS_NEWTON else 1 + phase.difference
    return 1 + sides * n_queries(plan, phase)


def evaluations_by_definition(plan: Plan, phase: Phase | PhaseRecord) -> int:
    """The same of a device that shares no work: there those that go by units ask for the coordinates' own differences."""
    if phase.estimator in BY_UNITS:
        phase = replace(phase, estimator=Estimator.cge)
    return evaluations_a_step(plan, phase)


def macs_a_step(plan: Plan, phase: Phase | PhaseRecord) -> int:
    """Multiply-accumulates of one step's estimate."""
    if plan.simulation is not None:
        return plan.batch * LIMIT["max_substeps"] * plan.simulation.instructions_a_row
    if phase.estimator == Estimator.coordinate_gn:
        return coordinates.step_macs(plan, phase, LIMIT["gn_tries"])
    if plan.pde is not None:
        return evaluations_a_step(plan, phase) * plan.batch * plan.macs * plan.passes
    if phase.estimator not in REUSING:
        return evaluations_a_step(plan, phase) * plan.forward_macs(plan.batch)
    if plan.chain is None:
        return round(plan.batch * graph_macs_a_row(plan, phase))
    if plan.gathers:
        share = n_queries(plan, phase) / plan.n_parameters  # cocd queries a part of them
        return round(plan.batch * (plan.macs + share * (gathered_gradient_macs(plan, phase) - plan.macs)))
    assembled = phase.estimator in BY_UNITS
    a_step = sum(prepare_macs(plan, n) + (finish_macs(plan, n) if assembled else 0) for n in range(len(plan.layers)))
    return a_step + plan.batch * _sample(plan, phase)


def forward_passes(plan: Plan, phase: Phase | PhaseRecord, macs: int) -> int:
    """`macs` of one step in forward passes of one row; loss evaluations where a pass has no multiply-accumulates."""
    return round(macs / plan.macs) if plan.macs else evaluations_a_step(plan, phase)


def finish_macs(plan: Plan, number: int) -> int:
    """node_cge, once a step: from the derivatives of the matrix or its halves to those of the cores."""
    layer, by = plan.layers[number], assembled_by(plan, number)
    if by == Assembled.slices or len(core_shapes(layer)) == 1:
        return 0
    return 2 * sum(f.macs for f in splits(layer) + ([matrix_factors(layer)] if by == Assembled.matrix else []))


def assembled_macs(plan: Plan, number: int) -> int | None:
    """node_cge, for one sample: forward pass and sums of its units' differences; None where it goes by slices."""
    layer, by = plan.layers[number], assembled_by(plan, number)
    if by == Assembled.slices:
        return None
    if by == Assembled.matrix:
        return 2 * layer.in_features * layer.out_features
    ml, nl, mr, nr, rank = halves(layer)
    return rank * ml * nr * (2 * nl + 3 * mr)


def prepare_macs(plan: Plan, number: int) -> int:
    """Products of cores, and the layer's matrix, once a step; what only makes a matrix of 16 bits is made apart."""
    layer, kept = plan.layers[number], keeps_matrix(plan, number)
    matrix = layer.in_features * _row_macs(layer) if kept else 0
    if kept and is_narrow(plan):
        return matrix + _products(layer, False) + _products(layer, True)
    return matrix + _products(layer, keeps_halves(plan, number))


def _row_macs(layer: Layer) -> int:
    """Multiply-accumulates of one row of the layer's matrix."""
    return layer.out_features * core_shapes(layer)[matrix_split(layer)][0]


def _products(layer: Layer, with_matrix: bool) -> int:
    shapes, total = core_shapes(layer), 0
    left, right, middle = stored_products(layer, with_matrix)
    for k in left:
        e = extents(layer, k - 1)
        total += math.prod(shapes[k - 1]) * e.ml * e.nl
    for k in right:
        e = extents(layer, k + 1)
        total += math.prod(shapes[k + 1]) * e.mr * e.nr
    return total + sum(
        math.prod(shapes[k + 1]) * extents(layer, k + 1).nr * shapes[middle_core(layer)][0] for k in middle
    )


def _sample(plan: Plan, phase: Phase | PhaseRecord) -> int:
    sides = 2 if phase.difference == Difference.antithetic else 1
    total = forward = 0
    for number, layer in enumerate(plan.layers):
        whole = assembled_macs(plan, number) if phase.estimator in BY_UNITS else None
        forward += layer.macs_core_by_core
        total += layer.macs_core_by_core + _sweep(layer) if whole is None else whole
        unit, fixed = _propagation_macs(plan, number)
        aimed, listed = _rows_made(plan, number)
        asks = math.ceil(layer.out_features / QUERIES_AT_ONCE)
        bias = (layer.out_features * (unit + fixed) + aimed + asks * listed) * sides
        if phase.estimator == Estimator.chain_differences and number + 1 < len(plan.layers):
            total += layer.out_features * plan.layers[number + 1].out_features + aimed
        elif phase.estimator in BY_UNITS or (layer.has_bias and phase.estimator in (Estimator.cge, Estimator.cocd)):
            total += bias
        if whole is not None:
            continue
        for k, (a, m, n, b) in enumerate(core_shapes(layer)):
            e = extents(layer, k)
            slices, entries, moved = a * n * b, a * m * n * b, e.ml * e.mr
            if phase.estimator == Estimator.block_rge:
                chunks = math.ceil(phase.n_queries / QUERIES_AT_ONCE)
                total += chunks * (aimed + listed) * sides
                total += chunks * slices * _slice(layer, k) + phase.n_queries * entries * moved
                total += phase.n_queries * sides * (layer.out_features * unit + fixed)
            elif phase.estimator in BY_UNITS:
                total += slices * _slice(layer, k) + entries * moved
            else:
                total += slices * _slice(layer, k) + entries * sides * (moved * unit + fixed)
                quads = quads_of_slices(layer, k)
                blocks = math.ceil(quads / quads_at_once(plan, number, k))
                total += (blocks * aimed + m * quads * listed) * sides
        if layer.has_bias and phase.estimator == Estimator.block_rge:
            chunks = math.ceil(phase.n_queries / QUERIES_AT_ONCE)
            total += phase.n_queries * sides * (layer.out_features * unit + fixed)
            total += chunks * (aimed + listed) * sides
    if phase.estimator == Estimator.cocd:  # of the coordinates' share, those of the window
        total = forward + (total - forward) * n_queries(plan, phase) // plan.n_parameters
    return total


def _rows_made(plan: Plan, number: int) -> tuple[int, int]:
    """Multiply-accumulates where later layers' matrices are not kept: of the rows that all units of layer `number` need,
    and of those that four queries need after that."""
    made = [
        plan.layers[n - 1].out_features * _row_macs(layer) if has_matrix(layer, n) and not keeps_matrix(plan, n) else 0
        for n, layer in enumerate(plan.layers)
    ]
    later = made[number + 1 :]
    return sum(later[:1]), sum(later[1:])


def _sweep(layer: Layer) -> int:
    shapes = core_shapes(layer)
    if layer.kind == LayerKind.tt_tensor or middle_core(layer) == len(shapes):
        return 0
    at = [extents(layer, k) for k in range(len(shapes))]
    return sum(math.prod(shapes[k]) * at[k].ml * at[k].nr for k in range(len(shapes) - 1))


def _slice(layer: Layer, k: int) -> int:
    """One slice of core k."""
    e, middle = extents(layer, k), middle_core(layer)
    if k >= middle:
        return 0 if k + 1 == len(core_shapes(layer)) else e.ml * e.nr * e.mr
    if layer.kind == LayerKind.tt_tensor:
        return e.mr if k + 1 == middle else core_shapes(layer)[middle][0] * (e.nr + e.mr)
    return 0 if k == 0 else e.ml * e.nl * e.mr


def _propagation_macs(plan: Plan, number: int) -> tuple[int, int]:
    """Multiply-accumulates of a query in layer `number`: for each unit that changes there, and for later layers."""
    if number + 1 == len(plan.layers):
        return 0, 0
    later = [
        (layer.out_features, 0)
        if len(core_shapes(layer)) == 1 or has_matrix(layer, n)
        else (0, layer.macs_core_by_core)
        for n, layer in enumerate(plan.layers)
        if n > number
    ]
    (unit, fixed), rest = later[0], zip(plan.layers[number + 2 :], later[1:], strict=True)
    return unit, fixed + sum(each * layer.in_features + whole for layer, (each, whole) in rest)
