# SPDX-License-Identifier: MIT
"""The parts of the runtime that a model needs: the same as device_runtime/model/needed_parts.c."""

from ttzo.device_runtime.contract import Cache, Derivative, Estimator, LayerKind, Loss, Part
from ttzo.device_runtime.contract.page import PAGE
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING

Parts = frozenset[Part]
GRAPH_PARTS: Parts = frozenset(Part[part] for part, _ in PAGE["node_part"].values())  # chains need none of them


def parts_of(plan: Plan) -> Parts:
    """The parts of the runtime that a model needs."""
    estimators = {phase.estimator for phase in plan.training.phases}
    layers = [node.operation.layer for node in plan.graph.nodes if isinstance(node.operation, Affine)]
    reuses, derivative = bool(estimators & REUSING), plan.pde.derivative if plan.pde else None
    needs = {
        Part.equations: plan.loss == Loss.residual,
        Part.identification: plan.loss == Loss.simulation,
        Part.cores: reuses,
        Part.split: any(layer.contraction for layer in layers),
        Part.gathered: any(layer.gather for layer in layers),
        Part.evaluations: bool(estimators & {Estimator.rge, Estimator.cge_plain}),
        Part.blocks: bool(estimators & {Estimator.node_cge, Estimator.block_rge}),
        Part.narrow: reuses and plan.cache != Cache.float32,
        Part.tensors: reuses and any(layer.kind == LayerKind.tt_tensor for layer in layers),
        Part.augmentation: plan.augmentation is not None,
        Part.compensated: derivative == Derivative.compensated_jet,
        Part.coordinates: Estimator.coordinate_gn in estimators,
        Part.differences: derivative not in (None, Derivative.jet, Derivative.compensated_jet),
    }
    needed = {part for part, wanted in needs.items() if wanted}
    return frozenset(needed | (_parts_of_nodes(plan) if plan.chain is None else set()))


def _parts_of_nodes(plan: Plan) -> set[Part]:
    return {Part.operations} | {Part[PAGE["node_part"][node.operation.CODE.name][0]] for node in plan.graph.nodes}
