# SPDX-License-Identifier: MIT
"""Twin of graph_jets.c: derivatives of a network that is no chain of layers, the points as the last axis of every array."""

import numpy as np

from ttzo.device_runtime.contract import Need
from ttzo.device_runtime.contract.page import PAGE
from ttzo.exporter.costs.memory import columns_at_once
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.operations.graph import graph_forward, tensors_of
from ttzo.host_tools.reference.operations.jet import Jet, apart, side_by_side
from ttzo.host_tools.reference.operations.registry import TWINS

HALF = np.float32(0.5)


class GraphNetwork:
    """A plan's graph at `theta`."""

    def __init__(self, plan: Plan, theta: np.ndarray):
        self.plan, self.theta = plan, theta
        self.scale, self.offset = np.float32(plan.input_scale), np.float32(plan.input_offset)

    def inputs(self, points: np.ndarray) -> np.ndarray:
        return points * self.scale + self.offset

    def value(self, points: np.ndarray) -> np.ndarray:
        """The outputs [m, n] at points [inputs, n]."""
        return np.array(graph_forward(self.plan, self.theta, self.inputs(points)))

    def centre(self, points: np.ndarray) -> "_Centre":
        return _Centre(self, points)

    # ---- jets

    def carry(self, points: np.ndarray, jet: Jet, directions: np.ndarray) -> np.ndarray:
        """The outputs' columns [columns, m, n], where the inputs go along directions [n_directions, inputs, n]."""
        columns = np.zeros((jet.columns, *points.shape), np.float32)
        columns[0] = self.inputs(points)
        columns[1 : 1 + jet.n] = directions
        arrays = {0: columns}
        for node in self.plan.graph.nodes:
            inputs, name = [arrays[array] for array in node.inputs], node.operation.CODE.name
            tensors, twin = tensors_of(self.plan, node, self.theta), TWINS[node.operation.CODE]
            if PAGE["node_jet"][name] == "own":
                arrays[node.output] = twin.jet(node.operation, tensors, jet, inputs)
                continue
            wide = max(each.shape[-1] for each in inputs)  # a learnt array stands for every row
            spread = [side_by_side(np.broadcast_to(each, (*each.shape[:-1], wide))) for each in inputs]
            arrays[node.output] = apart(twin.forward(node.operation, tensors, spread), jet.columns)
        made = arrays[self.plan.graph.nodes[-1].output]
        return np.broadcast_to(made, (*made.shape[:-1], points.shape[1]))

    def jets(self, points: np.ndarray, needs: int, directions: np.ndarray) -> tuple[np.ndarray, ...]:
        """value [m, n], first derivatives [directions, m, n], their second ones, or, where only their sum is needed, that
        [m, n]. `directions` [inputs, directions, n]."""
        pde, along = self.plan.equation, np.moveaxis(directions, 1, 0)
        own = bool(needs & Need.diagonal)
        sums = bool(needs & Need.laplacian) and not own
        room = (columns_at_once(self.plan) - 1 - sums) // (2 if own else 1)
        first, second = [], []
        laplacian: np.ndarray = np.zeros((self.plan.out_features, points.shape[1]), np.float32)
        for at in range(0, len(along), room):
            n = min(room, len(along) - at)
            jet = Jet(n, 2 if own else 1, min(max(pde.n_summed - at, 0), n) if sums else 0)
            made = self.carry(points, jet, along[at : at + n])
            first.append(jet.of_order(made, 1))
            if own:
                second.append(jet.of_order(made, 2))
            if jet.n_summed:
                laplacian = laplacian + made[-1]
        value = np.array(made[0])
        return value, np.concatenate(first), np.concatenate(second) if own else laplacian


class _Centre:
    """The network at points [inputs, n], and beside them."""

    def __init__(self, network: GraphNetwork, points: np.ndarray):
        self.network, self.points, self.value = network, points, network.value(points)

    def pair(self, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """even and odd [m, n]: the outputs at points +- offset are value + even +- odd."""
        up, down = (self.network.value(self.points + side) - self.value for side in (offset, -offset))
        return HALF * (up + down), HALF * (up - down)
