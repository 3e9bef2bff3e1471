# SPDX-License-Identifier: MIT
"""Nodes of a plan frozen by name: their parameters leave theta, are not trained, and lie in flash as constants."""

import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import constants
from ttzo.exporter.plan.graph import Graph, Node, holds_matrix
from ttzo.exporter.plan.plan import Plan

KINDS = ("float32", "int8")  # of frozen parameters
Owner = tuple[bool, int]  # what a node and those that share its parameters have in common


def freeze(plan: Plan, patterns: Sequence[str], *, int8: bool = False) -> Plan:
    """The plan with the nodes that `patterns` name frozen too. A pattern is a node's name ("conv1"), the first parts of
    one ("encoder" for "encoder.0"), or one with `*`, `?` and `[...]` as in file names. Nodes that share parameters are
    frozen together. `int8`: matrices of all frozen nodes become 8-bit integers; what is int8 already keeps its bits.

    Raises `PlanError` for a pattern that names no parameters.
    """
    chosen = {owner for pattern in patterns for owner in _named(plan.graph, pattern)}
    wanted = [_is_int8(node, chosen, int8) for node in plan.graph.nodes]
    if not chosen and wanted == [node.int8 for node in plan.graph.nodes]:
        return plan
    nodes: list[Node] = []
    placed: dict[Owner, Node] = {}
    theta, section = [np.zeros(0, np.float32)], b""
    for node, narrow in zip(plan.graph.nodes, wanted, strict=True):
        if not node.operation.n_parameters:
            nodes.append(node)
            continue
        owner = placed.get(_owner(node)) if node.shared else None
        frozen = node.frozen or _owner(node) in chosen
        at = owner.parameters if owner else len(section) // 4 if frozen else sum(map(len, theta))
        made = _placed(dataclasses.replace(node, frozen=frozen, int8=narrow), at)
        if not owner:
            placed[_owner(node)] = made
            if frozen:
                section += _packed(plan, node, made)
            else:
                theta.append(_values(plan, node))
        nodes.append(made)
    graph = Graph(tuple(nodes), plan.graph.arrays)
    parameters = np.concatenate(theta)
    return dataclasses.replace(plan, graph=graph, parameters=parameters, constants=section)


def thawed(plan: Plan) -> Plan:
    """The plan with everything trained, at the values that a device computes with."""
    theta, nodes = [np.zeros(0, np.float32)], []
    placed: dict[Owner, int] = {}
    for node in plan.graph.nodes:
        at = placed.get(_owner(node)) if node.shared else None
        if at is None:
            at = placed[_owner(node)] = sum(map(len, theta))
            theta += [_values(plan, node)] if node.operation.n_parameters else []
        free = dataclasses.replace(node, frozen=False, int8=False)
        nodes.append(_placed(free, at) if node.operation.n_parameters else free)
    graph = Graph(tuple(nodes), plan.graph.arrays)
    return dataclasses.replace(plan, graph=graph, parameters=np.concatenate(theta), constants=b"")


def _named(graph: Graph, pattern: str) -> set[Owner]:
    """The owners of the parameters that a pattern names."""
    nodes = [node for node in graph.nodes if node.operation.n_parameters]
    found = {_owner(node) for node in nodes if fnmatchcase(node.name, pattern) or node.name.startswith(f"{pattern}.")}
    if not found:
        names = ", ".join(dict.fromkeys(node.name for node in nodes))
        raise PlanError(f"nothing with parameters is called {pattern!r}", f"what can be frozen: {names}")
    return found


def _owner(node: Node) -> Owner:
    return node.frozen, node.parameters


def _is_int8(node: Node, chosen: set[Owner], int8: bool) -> bool:
    frozen = node.frozen or (bool(node.operation.n_parameters) and _owner(node) in chosen)
    return node.int8 or (int8 and frozen and holds_matrix(node))


def _placed(node: Node, at: int) -> Node:
    operation = node.operation
    if isinstance(operation, Affine):
        operation = Affine(dataclasses.replace(operation.layer, parameter_offset=at, contraction=0))
    return dataclasses.replace(node, operation=operation, parameters=at)


def _values(plan: Plan, node: Node) -> np.ndarray:
    """float32 (n,): the node's parameters as a device computes with them."""
    if node.frozen:
        return constants.unpacked(node, plan.constants)
    return plan.parameters[node.parameters : node.parameters + node.operation.n_parameters]


def _packed(plan: Plan, before: Node, node: Node) -> bytes:
    """The constants of a frozen node."""
    if before.frozen and before.int8 == node.int8:
        return plan.constants[4 * before.parameters : 4 * before.parameters + before.constant_bytes]
    values, made, at = _values(plan, before), [], 0
    for shape in node.operation.parameter_shapes.values():
        size = int(np.prod(shape))
        made.append(values[at : at + size].reshape(shape))
        at += size
    return constants.packed(node, made)
