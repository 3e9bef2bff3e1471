# SPDX-License-Identifier: MIT
"""What cge, cocd, node_cge and block_rge keep, and cost, on graphs: device_runtime/cores/graph_gradient.c."""

import math
from collections.abc import Iterator

from ttzo.device_runtime.contract import Estimator, LayerKind, PhaseRecord
from ttzo.exporter.costs.core_memory import even
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.broadcast import Broadcast
from ttzo.exporter.operations.gathering import Places, Tokens
from ttzo.exporter.operations.learnt_array import LearntArray
from ttzo.exporter.operations.norm import Norm
from ttzo.exporter.operations.scale import Scale
from ttzo.exporter.plan.graph import Graph, Node
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING, Phase


def graph_numbers(plan: Plan) -> int:
    """Floats of the arrays of a row that queries need again, those of a query, the parameters that it changes, scratch, and
    the loss's slopes and changes; 0 when no phase needs them."""
    if not any(phase.estimator in REUSING for phase in plan.training.phases):
        return 0
    graph = plan.graph
    kept, count = sum(graph.arrays[a].numbers for a in _needed_again(graph)), len(graph.arrays)
    units, inputs = _of_units(plan)
    out = plan.out_features
    own = max((node.operation.n_parameters for node in owners(plan)), default=0)
    return even(count, (count + 3) // 4, kept, graph.arena, own, graph.scratch, out, out, units, units, inputs)


def _of_units(plan: Plan) -> tuple[int, int]:
    """With node_cge, the most outputs of a trained layer, and the most inputs of one application."""
    layers = [node.layer for node in trained_layers(plan)]
    if not layers or all(phase.estimator != Estimator.node_cge for phase in plan.training.phases):
        return 0, 0
    return max(layer.n_outputs for layer in layers), max(layer.in_features for layer in layers)


def _needed_again(graph: Graph) -> set[int]:
    """Numbers of the arrays that the first trained node and those after it read or write: no query runs the others."""
    trained = [index for index, node in enumerate(graph.nodes) if not node.flags and node.operation.n_parameters]
    again = graph.nodes[trained[0] :] if trained else ()
    return {a for node in again for a in (*node.inputs, node.output)}


# ---- what an estimate costs ------------------------------------------------------------------------------------------


def trained_layers(plan: Plan) -> list[Node]:
    """Layers whose parameters, their own or an earlier node's, are trained: node_cge asks their units."""
    return [node for node in plan.graph.nodes if isinstance(node.operation, Affine) and not node.frozen]


def other_owners(plan: Plan) -> list[Node]:
    """Other nodes that own trained parameters: node_cge asks these one by one."""
    return [node for node in owners(plan) if not isinstance(node.operation, Affine)]


def blocks(plan: Plan) -> list[slice]:
    """The blocks of block_rge in theta: cores, weights and biases; of nodes of graphs that are no layers, all parameters."""
    made: list[slice] = []
    for node in owners(plan):
        parts = [(tensor.offset, tensor.size) for tensor in node.tensors]
        if not isinstance(node.operation, Affine):
            parts = [(node.parameters, node.operation.n_parameters)]
        made += [slice(first, first + size) for first, size in parts]
    return made


def owners(plan: Plan) -> list[Node]:
    """Nodes that own trained parameters."""
    return [node for node in plan.graph.nodes if not node.flags and node.operation.n_parameters]


def graph_macs_a_row(plan: Plan, phase: Phase | PhaseRecord) -> float:
    """Multiply-accumulates of an estimate that reuses a row's arrays, at one row, where a change reaches all that it can."""
    sides = 1 + phase.difference
    if phase.estimator == Estimator.node_cge:
        others = sum(node.operation.n_parameters * _query_macs(plan, node) for node in other_owners(plan))
        return plan.macs + sides * others + sum(_unit_macs(plan, node, sides) for node in trained_layers(plan))
    if phase.estimator == Estimator.block_rge:
        asked = phase.n_queries * sides
        counts = [len(n.tensors) if isinstance(n.operation, Affine) else 1 for n in owners(plan)]
        pairs = zip(counts, owners(plan), strict=True)
        return plan.macs + asked * sum(count * _query_macs(plan, node, whole=True) for count, node in pairs)
    share = min(phase.n_coordinates, plan.n_parameters) if phase.estimator == Estimator.cocd else plan.n_parameters
    each = sum(node.operation.n_parameters * _query_macs(plan, node) for node in owners(plan)) / plan.n_parameters
    return plan.macs + sides * share * each


def shared_prices(plan: Plan) -> list[tuple[Node, int, int]]:
    """Owners of trained parameters that several nodes use, how many do, and multiply-accumulates of one row that a loss
    difference of one parameter runs again: those of all these nodes and of what lies after them."""
    made = []
    for owner in owners(plan):
        sharing = [n for n in plan.graph.nodes if n.shared and not n.frozen and n.parameters == owner.parameters]
        if sharing:
            made.append((owner, 1 + len(sharing), _query_macs(plan, owner)))
    return made


def _unit_macs(plan: Plan, node: Node, sides: int) -> int:
    """node_cge: every unit of one layer, and what its parameters are made of."""
    layer, changed, behind = node.layer, {node.output: 1}, 0
    for later in plan.graph.nodes[plan.graph.nodes.index(node) + 1 :]:
        if set(changed) & set(later.inputs):
            behind += _moved(later, changed)
    n = layer.n_outputs
    made = layer.positions * layer.in_features * layer.out_features
    if layer.kind != LayerKind.dense:
        made = sum(math.prod(shape) for shape in layer.core_shapes) * (layer.macs + n)
    elif isinstance(layer.gather, Tokens):
        made = 0
    return layer.macs + n * sides * behind + made


def run_again(plan: Plan, owner: Node) -> Iterator[tuple[Node, bool, bool]]:
    """The nodes that a query of `owner`'s parameters runs, each with whether it uses them and whether its inputs change."""
    changed: set[int] = set()
    for node in plan.graph.nodes:
        own = not node.frozen and owner.parameters == node.parameters and node.operation.CODE == owner.operation.CODE
        own = own and node.operation.n_parameters > 0
        moved = bool(changed & set(node.inputs))
        if own or moved:
            changed.add(node.output)
            yield node, own, moved


def _query_macs(plan: Plan, owner: Node, whole: bool = False) -> int:
    """One query of a parameter of `owner`; `whole`: of several of them."""
    changed: dict[int, int] = {}
    macs = 0
    for node in plan.graph.nodes:
        own = not node.frozen and owner.parameters == node.parameters and node.operation.CODE == owner.operation.CODE
        own = own and node.operation.n_parameters > 0
        if own:
            alone = not whole and not set(changed) & set(node.inputs)
            is_array = isinstance(node.operation, LearntArray) and not whole
            changed[node.output] = 1 if is_array else node.operation.n_outputs
            macs += row_macs(node) if alone else node.operation.macs
        elif set(changed) & set(node.inputs):
            macs += _moved(node, changed)
    return macs


def _moved(node: Node, changed: dict[int, int]) -> int:
    """Multiply-accumulates of a node that a change reaches. `changed`: of each changed array a number of neighbouring
    places, from a multiple of it on, outside which nothing has moved; the node's output joins it."""
    operation = node.operation
    span, numbers = max(changed.get(array, 0) for array in node.inputs), operation.n_outputs
    changed[node.output] = numbers
    if isinstance(operation, Affine) and isinstance(operation.layer.gather, Places):
        touched = _rows_touched(span, operation.layer.in_features, operation.layer.positions)
        changed[node.output] = operation.layer.out_features if touched == 1 else numbers
        return operation.macs // operation.layer.positions * touched
    if isinstance(operation, Norm) and _rows_touched(span, operation.size, operation.outer) == 1:
        changed[node.output] = operation.size
    elif isinstance(operation, Activate | Scale) or (isinstance(operation, Broadcast) and operation.middle == numbers):
        changed[node.output] = span
    return operation.macs


def _rows_touched(span: int, size: int, rows: int) -> int:
    """Of rows of so many numbers, those that a change within `span` numbers can reach: one, or all."""
    return 1 if size % span == 0 else rows


def row_macs(node: Node) -> int:
    """Where one parameter of its own alone has changed."""
    layer = node.operation.layer if isinstance(node.operation, Affine) else None
    if layer is None or layer.kind != LayerKind.dense or isinstance(layer.gather, Tokens):
        return node.operation.macs
    return layer.positions * layer.in_features
