# SPDX-License-Identifier: MIT
"""A graph as the contract's section: graph_info | node ... | array ... | attributes ... | constants."""

from collections.abc import Sequence

from ttzo.device_runtime.contract import (
    LIMIT,
    RECORD,
    GraphInfo,
    LayerRecord,
    NodeArrayRecord,
    NodeFlag,
    NodeOperation,
    NodeRecord,
    Record,
)
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.layer_records import layer_of, layer_record
from ttzo.exporter.operations.operation import Operation
from ttzo.exporter.operations.registry import OPERATIONS
from ttzo.exporter.plan.graph import Array, Graph, Node
from ttzo.exporter.plan.plan import Plan

NO_ARRAY = LIMIT["no_array"]
MOST_INPUTS = 3


def records(graph: Graph) -> list[tuple[Node, NodeRecord, Record | None]]:
    """Each node with its record and its attributes, in order."""
    made, at = [], 0
    for node in graph.nodes:
        attributes = _attributes(node.operation)
        record = NodeRecord(
            operation=node.operation.CODE,
            flags=node.flags,
            output=node.output,
            inputs=(*node.inputs, *[NO_ARRAY] * (MOST_INPUTS - len(node.inputs))),
            attributes=at // 4 if attributes else 0,
            parameters=node.parameters,
        )
        at += attributes.SIZE if attributes else 0
        made.append((node, record, attributes))
    return made


def info(plan: Plan) -> GraphInfo:
    graph = plan.graph
    attributes = [attributes.SIZE for _, _, attributes in records(graph) if attributes]
    return GraphInfo(len(graph.nodes), len(graph.arrays), sum(attributes), len(plan.constants), graph.arena)


def write(plan: Plan) -> bytes:
    """The section of a plan that is no chain."""
    graph = plan.graph
    nodes = records(graph)
    arrays = [NodeArrayRecord(a.numbers, place) for a, place in zip(graph.arrays, graph.places, strict=True)]
    parts = [info(plan), *(record for _, record, _ in nodes), *arrays, *(own for _, _, own in nodes if own)]
    return b"".join(part.pack() for part in parts) + plan.constants


def size(data: bytes) -> int:
    """Bytes of the section that `data` begins with."""
    found = GraphInfo.unpack(data)
    fixed = GraphInfo.SIZE + found.n_nodes * NodeRecord.SIZE + found.n_arrays * NodeArrayRecord.SIZE
    return fixed + found.attribute_bytes + found.constant_bytes


def read(data: bytes, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> tuple[Graph, bytes]:
    """The graph and its constants. Raises `PlanError`, `ValueError` or `KeyError` for what is no graph."""
    found, at = GraphInfo.unpack(data), GraphInfo.SIZE
    nodes = [NodeRecord.unpack(data[at + i * NodeRecord.SIZE :]) for i in range(found.n_nodes)]
    at += found.n_nodes * NodeRecord.SIZE
    arrays = [NodeArrayRecord.unpack(data[at + i * NodeArrayRecord.SIZE :]) for i in range(found.n_arrays)]
    at += found.n_arrays * NodeArrayRecord.SIZE
    made = []
    for record, name in zip(nodes, names, strict=True):
        operation = _operation(record, name, data[at + 4 * record.attributes :], arrays)
        flags = {flag.name: bool(record.flags & flag) for flag in NodeFlag}
        inputs = tuple(array for array in record.inputs if array != NO_ARRAY)
        made.append(Node(name, operation, inputs, record.output, record.parameters, **flags))
    at += found.attribute_bytes
    graph = Graph(tuple(made), tuple(Array(tuple(shape)) for shape in shapes))
    return graph, bytes(data[at : at + found.constant_bytes])


def _operation(record: NodeRecord, name: str, attributes: bytes, arrays: list[NodeArrayRecord]) -> Operation:
    """The operation of a node; `attributes` begin with its own where it has any."""
    kind = OPERATIONS[NodeOperation(record.operation)]
    if kind is Affine:
        return Affine(layer_of(LayerRecord.unpack(attributes), name))
    own = RECORD[kind.RECORD_NAME].unpack(attributes) if kind.RECORD_NAME else None
    return kind.from_record(own, arrays[record.output].numbers)


def _attributes(operation: Operation) -> Record | None:
    return layer_record(operation.layer) if isinstance(operation, Affine) else operation.record()
