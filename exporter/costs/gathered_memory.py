# SPDX-License-Identifier: MIT
"""What cge and cocd keep, and cost, in networks with convolutions or embeddings: gathered_cache.c and
gathered_gradient.c in device_runtime/cores say what each part is."""

import math

from ttzo.device_runtime.contract import LIMIT, Difference, LayerKind, PhaseRecord
from ttzo.exporter.costs.core_memory import (
    QUERIES_AT_ONCE,
    core_shapes,
    even,
    extents,
    panel_numbers,
    product_numbers,
    reuses,
    slice_widest,
    state_numbers,
    whole_panels,
)
from ttzo.exporter.operations.gathering import Patches, Tokens
from ttzo.exporter.operations.layer import Layer, PlanError, gather_scratch
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase


def _has_matrix(layer: Layer, number: int) -> bool:
    return number > 0 and layer.kind != LayerKind.dense and len(core_shapes(layer)) > 1


def _moved(layer: Layer, k: int) -> int:
    """Outputs that an entry of core k moves."""
    e = extents(layer, k)
    return e.ml * e.mr * (layer.n_outputs // layer.out_features)


def _n_slices(layer: Layer, k: int) -> int:
    """Of core k: its entries of one output mode. The bias stands with those of a matrix."""
    a, _, n, b = core_shapes(layer)[k]
    return a * n * b + (layer.has_bias and len(core_shapes(layer)) == 1)


def _moves(layer: Layer) -> int:
    return sum(whole_panels(_n_slices(layer, k)) * _moved(layer, k) for k in range(len(core_shapes(layer))))


def _all_slices(layer: Layer) -> int:
    return sum(_n_slices(layer, k) for k in range(len(core_shapes(layer))))


def gathered_gradient_numbers(plan: Plan) -> int:
    """Numbers of everything that is kept within a step, as gathered_cache.c and gathered_gradient.c lay it out; 0 when
    no phase reuses. Raises `PlanError` when no device accepts so many."""
    if not reuses(plan):
        return 0
    total = even(plan.in_features)
    for number, layer in enumerate(plan.layers):
        matrix = layer.in_features * layer.out_features if _has_matrix(layer, number) else 0
        is_turned = number > 0 and isinstance(layer.gather, Patches) and not matrix
        weights = layer.in_features * layer.out_features if is_turned else 0
        total += even(
            layer.n_outputs, layer.n_outputs, product_numbers(layer.application, bool(matrix)), matrix, weights
        )
    total += _scratch_numbers(plan)
    if total > LIMIT["max_width"]:
        raise PlanError(
            f"this estimator would keep {total:,} numbers of one sample, which is too many",
            "export a smaller network, or with an estimator that keeps nothing (--estimator rge)",
        )
    return total


def _scratch_numbers(plan: Plan) -> int:
    ones, queries = [layer.application for layer in plan.layers], QUERIES_AT_ONCE
    later = [layer for layer in plan.layers[1:] if isinstance(layer.gather, Patches)]
    outputs = max(layer.n_outputs for layer in plan.layers)
    return even(
        plan.out_features,
        max(one.in_features for one in ones),
        max(one.out_features for one in ones),
        ones[0].core_numbers if isinstance(plan.layers[0].gather, Tokens) else 0,
        max(map(state_numbers, ones)),
        max(map(panel_numbers, ones)),
        queries * max(map(slice_widest, ones)),
        max(*map(_moves, plan.layers), *(gather_scratch(layer) for layer in plan.layers if layer.gather)),
        *2 * [max(map(_all_slices, plan.layers))],
        queries * outputs,
        queries * whole_panels(max(layer.n_outputs for layer in plan.layers[1:] or plan.layers)),
        queries * max((layer.in_features for layer in plan.layers[1:]), default=0),
        queries * max((layer.out_features for layer in later), default=0),
        (outputs + 1) // 2,
        (max((layer.n_inputs for layer in later), default=0) + 1) // 2,
        (max((layer.in_features for layer in later), default=0) + 1) // 2,
    )


def gathered_gradient_macs(plan: Plan, phase: Phase | PhaseRecord) -> int:
    """Multiply-accumulates of one sample's estimate where nothing is zero, without making the slices of trains."""
    sides = 2 if phase.difference == Difference.antithetic else 1
    total = plan.macs
    for number, layer in enumerate(plan.layers):
        asked = layer.out_features if layer.has_bias and len(core_shapes(layer)) > 1 else 0
        total += sides * asked * propagation_macs(plan, number, 1, layer.n_outputs // layer.out_features)
        for k, (_, modes, _, _) in enumerate(core_shapes(layer)):
            channels = extents(layer, k).ml * extents(layer, k).mr
            total += sides * modes * _n_slices(layer, k) * propagation_macs(plan, number, channels, _moved(layer, k))
    return total


def propagation_macs(plan: Plan, number: int, channels: int, moved: int) -> int:
    """Multiply-accumulates in later layers of one query in layer `number` that moves so many channels and outputs."""
    total = 0
    for layer in plan.layers[number + 1 :]:
        if isinstance(layer.gather, Patches):
            total += layer.n_outputs * math.prod(layer.gather.kernel) * channels
        else:
            total += moved * layer.out_features
        channels, moved = layer.out_features, layer.n_outputs
    return total
