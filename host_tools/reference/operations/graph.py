# SPDX-License-Identifier: MIT
"""Twin of graph.c: rows of network inputs through all nodes, the batch as the last axis of every array."""

import numpy as np

from ttzo.exporter.plan import constants
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.network.network import forward
from ttzo.host_tools.reference.operations.bounded import Bounded
from ttzo.host_tools.reference.operations.registry import TWINS


def tensors_of(plan: Plan, node: Node, theta: np.ndarray) -> list[np.ndarray]:
    """A node's parameters, of frozen nodes as a device computes with them."""
    source = constants.unpacked(node, plan.constants) if node.frozen else theta
    return [source[t.offset : t.offset + t.size].reshape(t.shape) for t in node.tensors]


def graph_forward(plan: Plan, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Inputs float32 [in_features, n] -> outputs [out_features, n]."""
    arrays = {0: x}
    run_nodes(plan, theta, arrays, 0)
    return np.broadcast_to(arrays[plan.graph.nodes[-1].output], (plan.out_features, x.shape[1]))


def run_nodes(plan: Plan, theta: np.ndarray, arrays: dict[int, np.ndarray], first: int) -> None:
    """The nodes from number `first` on; `arrays` [numbers, n] hold what they read and get what they make."""
    for node in plan.graph.nodes[first:]:
        inputs = [arrays[array] for array in node.inputs]
        arrays[node.output] = TWINS[node.operation.CODE].forward(node.operation, tensors_of(plan, node, theta), inputs)


def model_forward(plan: Plan, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Network inputs float32 [n, in_features] -> outputs float32 [n, out_features], of a chain or any other graph."""
    if plan.chain is not None:
        return forward(plan, theta, x)
    with np.errstate(all="ignore"):  # a broken forward pass shows as a loss that is not finite
        return np.ascontiguousarray(graph_forward(plan, theta, np.ascontiguousarray(x.T)).T)


def graph_bounded(plan: Plan, theta: np.ndarray, x: np.ndarray) -> Bounded:
    """The same in double, with a bound of what float32 may make of it in any order of sums."""
    arrays = {0: Bounded.of(x)}
    for node in plan.graph.nodes:
        inputs = [arrays[array] for array in node.inputs]
        arrays[node.output] = TWINS[node.operation.CODE].bounded(node.operation, tensors_of(plan, node, theta), inputs)
    return arrays[plan.graph.nodes[-1].output]
