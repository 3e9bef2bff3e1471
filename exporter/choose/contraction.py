# SPDX-License-Identifier: MIT
"""In which order a TT-matrix layer is contracted with a row, chosen for each layer by what a loss evaluation costs.

Core by core from right to left (0), or split before core c: both halves are multiplied out once for a parameter vector
(device_runtime/network/split_layer.c), and a row then takes two products of matrices; or, with c as many as there are cores, the whole
layer is, and a row takes one. That costs memory, and pays from a few rows on; where the halves are small it costs less
for one row already. Dense layers and 2L-way trains have one order.
"""

import dataclasses
import math
from collections.abc import Iterator

from ttzo.device_runtime.contract import LayerKind
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING

# Instructions for a multiply-accumulate on Cortex-M4F, separate arithmetic, as `ttzo bench` counts them: core by core,
# in tiles, in the small products that make the halves, and in a layer multiplied out. Only their proportions matter.
CORE_BY_CORE, TILED, PREPARED, WHOLE = 6.2, 2.3, 3.5, 4.0


def cost(layer: Layer, batch: int) -> float:
    """Instructions of the layer's matrix products in one loss evaluation, about."""
    if not layer.contraction:
        return batch * layer.macs * CORE_BY_CORE
    if layer.contraction == len(layer.in_modes):
        return batch * layer.in_features * _whole(layer.out_features) * WHOLE + layer.prepare_macs * PREPARED
    return batch * _tiled_macs(layer) * TILED + layer.prepare_macs * PREPARED


def _tiled_macs(layer: Layer) -> int:
    """Multiply-accumulates of one row with tiles filled up to whole ones."""
    c = layer.contraction
    n_left, n_right = math.prod(layer.in_modes[:c]), math.prod(layer.in_modes[c:])
    m_left, m_right = math.prod(layer.out_modes[:c]), math.prod(layer.out_modes[c:])
    lines = m_right // 4 * 4 * layer.ranks[c] + _whole(m_right % 4 * layer.ranks[c])
    return _whole(n_left) * n_right * lines + _whole(m_left) * n_left * layer.ranks[c] * _whole(m_right)


def _whole(lines: int) -> int:
    return 4 * math.ceil(lines / 4)


def chosen(plan: Plan, room: Room | None = None) -> Plan:
    """The plan with cheaper contractions, as far as its work buffer fits `room`: layer by layer what saves most.

    Only estimators that ask for whole loss evaluations profit; the others, and a PDE's derivatives, walk the cores
    themselves. For those that share environments a contraction is changed where it saves memory: what they keep may be
    smaller than a forward pass core by core.
    """
    if plan.chain is None:  # its layers are contracted core by core
        return plan
    plan = _with(plan, [0] * len(plan.layers))
    if plan.pde is not None:
        return plan
    reusing = all(phase.estimator in REUSING for phase in plan.training.phases)
    while better := max(_smaller(plan) if reusing else _better(plan, room), key=lambda found: found[0], default=None):
        plan = better[1]
    return plan


def given(plan: Plan, text: str) -> Plan:
    """The plan with a contraction for each layer, `0:2`, or one for all. Raises `PlanError` for what a layer cannot do."""
    words = text.split(":")
    words *= len(plan.layers) if len(words) == 1 else 1
    if len(words) != len(plan.layers) or not all(word.isdigit() for word in words):
        raise PlanError(
            f"contractions {text!r} are neither one number nor one for each of {len(plan.layers)} layers",
            "write 0 for core by core, or the core before which to split (the number of cores: multiplied out whole): 2, or 0:2",
        )
    return _with(plan, [int(word) for word in words])


def rival(plan: Plan) -> Plan | None:
    """The plan in the other order: core by core where a layer is split, else the cheapest split of each layer that has
    one. None where no layer has another order, or none matters to a step: see `chosen`."""
    if plan.chain is None or plan.pde is not None or all(phase.estimator in REUSING for phase in plan.training.phases):
        return None
    if any(layer.contraction for layer in plan.layers):
        return _with(plan, [0] * len(plan.layers))
    splits = [min(_choices(layer)[1:], key=lambda each: cost(each, plan.batch), default=layer) for layer in plan.layers]
    contractions = [layer.contraction for layer in splits]
    return _with(plan, contractions) if any(contractions) else None


def _with(plan: Plan, contractions: list[int]) -> Plan:
    layers = zip(plan.layers, contractions, strict=True)
    return plan.with_layers([dataclasses.replace(layer, contraction=c) for layer, c in layers])


def _choices(layer: Layer) -> list[Layer]:
    n = len(layer.in_modes) + 1 if layer.kind == LayerKind.tt_matrix and not layer.gather else 1
    return [dataclasses.replace(layer, contraction=c) for c in range(n)]


def _better(plan: Plan, room: Room | None) -> Iterator[tuple[float, Plan]]:
    """Plans with one layer changed that cost less, with what they save; one that fits `room`, or needs less memory."""
    limit = math.inf if room is None else max(room.ram_bytes, memory.work_bytes(plan))
    for number, choice, other in _others(plan):
        saved = cost(plan.layers[number], plan.batch) - cost(choice, plan.batch)
        if saved > 0 and memory.work_bytes(other) <= limit:
            yield saved, other


def _smaller(plan: Plan) -> Iterator[tuple[int, Plan]]:
    """Plans with one layer changed that need less memory, with how much less."""
    for _, _, other in _others(plan):
        saved = memory.work_bytes(plan) - memory.work_bytes(other)
        if saved > 0:
            yield saved, other


def _others(plan: Plan) -> Iterator[tuple[int, Layer, Plan]]:
    """A layer's number, that layer with another contraction, and the plan with it."""
    for number, layer in enumerate(plan.layers):
        for choice in _choices(layer):
            layers = (choice if n == number else each for n, each in enumerate(plan.layers))
            yield number, choice, _with(plan, [each.contraction for each in layers])
