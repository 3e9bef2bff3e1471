# SPDX-License-Identifier: MIT
"""What steps on equations do that costs instructions, counted by name: instructions.py."""

import math

from ttzo.device_runtime.contract import LIMIT, Derivative, LayerKind, Operation
from ttzo.exporter.costs.coordinates import step_macs
from ttzo.exporter.costs.cost import evaluations_a_step
from ttzo.exporter.costs.forward_features import Features, is_bent
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.pde.program import JETS
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.jet_rules import activation_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase

FUNCTIONS = frozenset(
    Operation[name] for name in ["sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "atan", "atan2"]
)
OF_GRAPHS = 1.65  # times what a chain's jets take: 1.5 to 1.6 counted on a residual network of 265 parameters


def residuals(plan: Plan, evaluations: float) -> Features:
    """So many loss evaluations: the equation's residual at each point, with the derivatives that it takes."""
    kind, nodes = Derivative(plan.equation.derivative), plan.graph.nodes
    if plan.chain is None:
        return _residuals_of_graph(plan, evaluations)
    dense = all(node.layer.kind == LayerKind.dense for node in nodes if isinstance(node.operation, Affine))
    point = Features({"point": 1})
    point[f"{kind.name} mac" if dense else f"{kind.name} tt mac"] = plan.macs * plan.passes
    point[f"{kind.name} number"] = plan.passes * sum(_written(node) for node in nodes)
    point[f"{kind.name} bent number"] = sum(_written(node) for node in nodes if is_bent(activation_of(node)))
    return _with_programs(plan, evaluations, Features().add(point, evaluations * plan.batch))


def _residuals_of_graph(plan: Plan, evaluations: float) -> Features:
    """Columns pass node by node; beside the point, each pass bends its numbers anew."""
    nodes, jets = plan.graph.nodes, plan.equation.derivative in JETS
    bends, share = (1, OF_GRAPHS) if jets else (plan.passes, 1.0)
    point = Features({"point": 1, "jet mac": plan.macs * plan.passes})
    point["jet number"] = plan.passes * sum(node.operation.n_outputs for node in nodes)
    point["jet bent number"] = bends * sum(n.operation.n_outputs for n in nodes if is_bent(activation_of(n)))
    return _with_programs(plan, evaluations, Features().add(point, share * evaluations * plan.batch))


def _with_programs(plan: Plan, evaluations: float, found: Features) -> Features:
    for group in plan.equation.groups:
        operations = [operation for operation, *_ in group.condition.instructions]
        found["program instruction"] += evaluations * group.count * len(operations)
        found["program function"] += evaluations * group.count * sum(each in FUNCTIONS for each in operations)
    return found


def _written(node: Node) -> int:
    """Numbers that a node makes; of a convolution, those of one place."""
    return node.layer.out_features if isinstance(node.operation, Affine) else node.operation.n_outputs


def gauss_newton(plan: Plan, phase: Phase, evaluations: float) -> Features:
    """What a Gauss-Newton step of so many evaluations adds: its directions, its triangle, each ridge that it tries."""
    columns, tries = plan.n_columns(phase), LIMIT["gn_tries"] - (evaluations_a_step(plan, phase) - evaluations)
    blocks = math.ceil(plan.batch / LIMIT["gn_block_rows"])
    return Features(
        {
            "gaussian number": phase.n_queries * plan.n_parameters * (blocks + tries),
            "folded number": plan.batch * columns**2,
            "ridge number": tries * columns**3,
            "solved number": tries * columns**2,
        }
    )


def coordinate_gn(plan: Plan, phase: Phase, macs: float) -> Features:
    """A step of coordinate_gn that took so many multiply-accumulates: its columns, the triangle of rows or coordinates,
    each ridge that it tries."""
    rows, n = plan.batch, plan.n_coordinates
    order = min(rows, n)
    without, with_one = (step_macs(plan, phase, tries) for tries in (0, 1))
    tries = max(1.0, (macs - without) / (with_one - without))
    stay = n < rows or phase.n_coordinates >= n
    sweeps = 1 if stay else 1 + tries
    found = residuals(plan, tries)
    found["column number"] = sweeps * rows * n
    found["column mac"] = max(0.0, macs - tries * rows * plan.macs * plan.passes)
    found["folded number"] = n * rows * order
    found["ridge number"] = tries * order**3
    for group in plan.equation.groups:
        jets = sweeps * group.count * (2 + plan.in_features if group.condition.needs else 1)
        found["column jet number"] += jets * n
        for number, layer in enumerate(plan.layers if plan.asks_all else ()):
            later = sum(each.out_features for each in plan.layers[number + 1 : -1])
            found["column bent number"] += jets * layer.n_parameters * later
    return found
