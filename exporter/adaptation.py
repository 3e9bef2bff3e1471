# SPDX-License-Identifier: MIT
"""A trained model exported again so that its last layer alone learns on: the rest lies in flash, and the work buffer
shrinks to what that layer needs."""

from ttzo.exporter.costs.memory import Room
from ttzo.exporter.export_again import changed
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.plan import Plan

BATCH = 4
RATE = 0.2


def last_layer_alone(plan: Plan, room: Room | None = None) -> Plan:
    """The plan with every layer frozen except the last one with parameters, which is trained by plain steps (sgd) on a
    small batch: neither takes memory. Raises `PlanError` for an equation and where nothing is trained."""
    if plan.pde is not None:
        raise PlanError("an equation has no rows to adapt to", "choose a model that learns rows")
    owners = _trained(plan)
    if not owners:
        raise PlanError("every parameter of this model is frozen", "name a run of a model that is trained")
    return changed(
        plan,
        room=room,
        freeze=[node.name for node in owners[:-1]] or None,
        batch=min(BATCH, plan.batch),
        estimator="cge",
        update="sgd",
        lr=RATE,
        schedule="linear",
        warmup_steps=0,
    )


def is_last_layer_alone(plan: Plan) -> bool:
    """Whether one layer is trained and others are frozen."""
    return len(_trained(plan)) == 1 and any(node.frozen for node in plan.graph.nodes)


def _trained(plan: Plan) -> list[Node]:
    """The nodes that own parameters which are trained."""
    return [node for node in plan.graph.nodes if node.operation.n_parameters and not node.frozen and not node.shared]
