# SPDX-License-Identifier: MIT
"""The parts of the runtime that a model needs: the same as device_runtime/model/needed_parts.c."""

from collections.abc import Sequence

from ttzo.device_runtime.contract import (
    Activation,
    Cache,
    Derivative,
    Estimator,
    LayerKind,
    Loss,
    Part,
    Schedule,
    Update,
)
from ttzo.device_runtime.contract.page import PAGE
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import BY_UNITS, REUSING

Parts = frozenset[Part]
# Small parts that MicroPython's modules alone leave out: their code lies in the heap. Firmware and libraries hold them.
SMALL: Parts = frozenset({Part.losses, Part.curves, Part.rules, Part.readings})
CURVED = (Activation.tanh, Activation.sine)
GRAPH_PARTS: Parts = frozenset(Part[part] for part, _ in PAGE["node_part"].values())  # chains need none of them


def parts_of(plan: Plan) -> Parts:
    """The parts of the runtime that a model needs."""
    estimators = {phase.estimator for phase in plan.training.phases}
    layers = [node.operation.layer for node in plan.graph.nodes if isinstance(node.operation, Affine)]
    reuses = bool(estimators & REUSING)
    needs = {
        Part.equations: plan.loss == Loss.residual,
        Part.identification: plan.loss == Loss.simulation,
        Part.cores: reuses,
        Part.split: any(layer.contraction for layer in layers),
        Part.gathered: any(layer.gather for layer in layers),
        Part.evaluations: bool(estimators & {Estimator.rge, Estimator.cge_plain}),
        Part.blocks: bool(estimators & (BY_UNITS | {Estimator.block_rge})),
        Part.narrow: reuses and plan.cache != Cache.float32,
        Part.tensors: reuses and any(layer.kind == LayerKind.tt_tensor for layer in layers),
        Part.depth: reuses and plan.chain is not None and _is_deep(plan.chain),
        Part.chain: Estimator.chain_differences in estimators,
        Part.augmentation: plan.augmentation is not None,
        Part.coordinates: bool(estimators & {Estimator.coordinate_gn, Estimator.frozen_features}),
        Part.features: Estimator.frozen_features in estimators,
        Part.systems: plan.pde is not None and plan.pde.is_system,
        Part.compensated: plan.pde is not None and plan.pde.derivative == Derivative.compensated_jet,
    }
    own = plan.loss in (Loss.residual, Loss.simulation)  # which have an update rule of their own too
    updates = {phase.update for phase in plan.training.phases}
    needs |= {
        Part.losses: not own and (plan.loss != Loss.cross_entropy or bool(plan.loss_options.section(plan.loss))),
        Part.curves: plan.loss != Loss.residual and plan.chain is not None and _is_curved(plan, plan.chain),
        Part.rules: not own and updates != {Update.momentum},
        Part.readings: plan.normalisation is not None,
    }
    needed = {part for part, wanted in needs.items() if wanted}
    return frozenset(needed | (_parts_of_nodes(plan) if plan.chain is None else set()))


def firmware_parts(plan: Plan, *, keeps_rows: bool) -> Parts:
    """What firmware that a host trains holds: what the model needs, the link, and with `keeps_rows` rows without their zeros
    in a memory of the board's."""
    by_line = {Part.link} | ({Part.packing} if plan.packing else set())
    return parts_of(plan) | SMALL | by_line | ({Part.sparse} if keeps_rows else set())


def _is_deep(layers: Sequence[Layer]) -> bool:
    """Whether a change of a unit passes a further layer than the next, or an activation after the last."""
    return len(layers) > 2 or (len(layers) > 0 and layers[-1].activation != Activation.identity)


def _is_curved(plan: Plan, layers: Sequence[Layer]) -> bool:
    cosine = plan.training.schedule == Schedule.cosine
    return len(layers) > 0 and (cosine or any(layer.activation in CURVED for layer in layers))


def _parts_of_nodes(plan: Plan) -> set[Part]:
    return {Part.operations} | {Part[PAGE["node_part"][node.operation.CODE.name][0]] for node in plan.graph.nodes}
