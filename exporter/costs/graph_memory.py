# SPDX-License-Identifier: MIT
"""What cge and cocd keep, and cost, on graphs: device_runtime/cores/graph_gradient.c."""

from ttzo.device_runtime.contract import LayerKind
from ttzo.exporter.costs.core_memory import even
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Tokens
from ttzo.exporter.plan.graph import Graph, Node
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING


def graph_numbers(plan: Plan) -> int:
    """Floats of the arrays of a row that queries need again, those of a query, scratch, and the loss's slopes and changes;
    0 when no phase needs them."""
    if not any(phase.estimator in REUSING for phase in plan.training.phases):
        return 0
    graph = plan.graph
    kept, count = sum(graph.arrays[a].numbers for a in _needed_again(graph)), len(graph.arrays)
    return even(count, (count + 3) // 4, kept, graph.arena, graph.scratch, plan.out_features, plan.out_features)


def _needed_again(graph: Graph) -> set[int]:
    """Numbers of the arrays that the first trained node and those after it read or write: no query runs the others."""
    trained = [index for index, node in enumerate(graph.nodes) if not node.flags and node.operation.n_parameters]
    again = graph.nodes[trained[0] :] if trained else ()
    return {a for node in again for a in (*node.inputs, node.output)}


def coordinate_macs(plan: Plan) -> int:
    """Multiply-accumulates of one query for every parameter, at one row: the nodes that it reaches run again."""
    return sum(node.operation.n_parameters * _query_macs(plan, node) for node in plan.graph.nodes if not node.flags)


def _query_macs(plan: Plan, owner: Node) -> int:
    changed: set[int] = set()
    macs = 0
    for node in plan.graph.nodes:
        own = not node.frozen and owner.parameters == node.parameters and node.operation.CODE == owner.operation.CODE
        own = own and node.operation.n_parameters > 0
        moved = bool(changed & set(node.inputs))
        if own or moved:
            changed.add(node.output)
            macs += _row_macs(node) if own and not moved else node.operation.macs
    return macs


def _row_macs(node: Node) -> int:
    """Where one parameter of its own alone has changed."""
    layer = node.operation.layer if isinstance(node.operation, Affine) else None
    if layer is None or layer.kind != LayerKind.dense or isinstance(layer.gather, Tokens):
        return node.operation.macs
    return layer.positions * layer.in_features
