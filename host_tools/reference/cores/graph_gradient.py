# SPDX-License-Identifier: MIT
"""Twin of graph_gradient.c and graph_blocks.c. The device runs only the nodes that a change reaches, to the bits of a whole
forward pass; here a query of parameters is one, and one of units runs all nodes after the layer."""

import numpy as np

from ttzo.device_runtime.contract import Difference, Direction, Estimator, PhaseRecord
from ttzo.exporter.costs.cost import evaluations_a_step
from ttzo.exporter.costs.graph_memory import blocks, other_owners, trained_layers
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.cores import graph_units
from ttzo.host_tools.reference.cores.coordinate_window import refreshed
from ttzo.host_tools.reference.network.loss import loss_change, loss_slopes, mean, row_losses
from ttzo.host_tools.reference.number.random import direction
from ttzo.host_tools.reference.operations.activation import activate
from ttzo.host_tools.reference.operations.graph import model_forward, run_nodes, tensors_of


class GraphEstimate:
    """One estimate on a batch: arguments as of `CoreEstimate`."""

    def __init__(
        self, plan: Plan, phase: PhaseRecord, seed: int, step: int, theta: np.ndarray, x: np.ndarray,
        targets: np.ndarray, age: int = 0, buffer: np.ndarray | None = None,
    ):  # fmt: skip
        self.plan, self.phase, self.theta, self.x, self.targets, self.buffer = plan, phase, theta, x, targets, buffer
        self.seed, self.step = seed, step
        self.real, self.antithetic = theta.dtype.type, phase.difference == Difference.antithetic
        self.mu = self.real(np.float32(phase.perturb_radius))
        self.wanted = np.ones(plan.n_parameters, bool)
        if phase.estimator == Estimator.cocd:
            self.wanted = refreshed(plan.n_parameters, phase.n_coordinates, age)
        with np.errstate(all="ignore"):
            self.arrays = {0: np.ascontiguousarray(x.T)}
            run_nodes(plan, theta, self.arrays, 0)
            last = np.broadcast_to(self.arrays[plan.graph.nodes[-1].output], (plan.out_features, len(x)))
            self.outputs = np.ascontiguousarray(last.T)
            self.losses = row_losses(plan, self.outputs, targets)
            self.slopes = loss_slopes(plan, self.outputs, targets)
            self.loss = mean(self.losses)
        self.evaluations = evaluations_a_step(plan, phase)

    def gradient(self) -> np.ndarray:
        """The estimate [n_parameters]; not finite where a loss was not."""
        gradient, repeats = np.zeros_like(self.theta), 1
        with np.errstate(all="ignore"):
            if self.phase.estimator == Estimator.block_rge:
                self._add_blocks(gradient)
                repeats = self.phase.n_queries
            elif self.phase.estimator == Estimator.node_cge:
                self._add_units(gradient)
                self._add_coordinates(gradient, self._of_other_nodes())
            else:
                self._add_coordinates(gradient, self.wanted)
            share, sides = self.real(1) / self.real(len(self.losses)), self.real(1 + self.antithetic)
            gradient = gradient * share * (self.real(1) / (sides * self.real(repeats) * self.mu))
            if self.buffer is not None:
                gradient = np.where(self.wanted, gradient, np.float32(self.phase.stale_decay) * self.buffer)
        return gradient

    # ---- parameter by parameter

    def _of_other_nodes(self) -> np.ndarray:
        wanted = np.zeros(self.plan.n_parameters, bool)
        for node in other_owners(self.plan):
            wanted[node.parameters : node.parameters + node.operation.n_parameters] = True
        return wanted

    def _add_coordinates(self, gradient: np.ndarray, wanted: np.ndarray) -> None:
        for at in np.flatnonzero(wanted).tolist():
            step = np.zeros_like(self.theta)
            step[at] = 1
            difference = self._both_sides(step)
            gradient[at] = np.add.accumulate(np.concatenate([[self.real(0)], difference]), dtype=self.real)[-1]

    def _both_sides(self, step: np.ndarray) -> np.ndarray:
        """Each row's difference of a query along `step`."""
        difference = self._difference(self.mu * step + self.theta)
        return difference - self._difference(-self.mu * step + self.theta) if self.antithetic else difference

    def _difference(self, moved: np.ndarray) -> np.ndarray:
        """Each row's loss at `moved` less its loss."""
        changes = model_forward(self.plan, moved, self.x) - self.outputs
        return loss_change(self.plan, self.slopes, changes.T[None], self.targets)[0]

    # ---- blocks

    def _add_blocks(self, gradient: np.ndarray) -> None:
        n = self.phase.n_queries
        for number, block in enumerate(blocks(self.plan)):
            steps = np.zeros((n, len(self.theta)), self.theta.dtype)
            for query in range(n):
                kind = Direction(self.phase.direction)
                size = block.stop - block.start
                steps[query, block] = direction(size, kind, self.seed, self.step, number * n + query)
            differences = np.array([self._both_sides(step) for step in steps])
            for of_row in differences.T:
                for difference, step in zip(of_row, steps, strict=True):
                    gradient[block] = difference * step[block] + gradient[block]

    # ---- units

    def _add_units(self, gradient: np.ndarray) -> None:
        layers = trained_layers(self.plan)
        units = [self._units(node) for node in layers]
        for row in range(len(self.x)):
            for node, differences in zip(layers, units, strict=True):
                inputs, tensors = self.arrays[node.inputs[0]][:, row], tensors_of(self.plan, node, self.theta)
                graph_units.add_row(node, tensors, inputs, differences[:, row], gradient)

    def _units(self, node: Node) -> np.ndarray:
        """Differences of the units of a layer [n_outputs, n]."""
        tensors = tensors_of(self.plan, node, self.theta)
        z = graph_units.before_activation(node.layer, tensors, self.arrays[node.inputs[0]])
        difference = self._moved_units(node, z + self.mu)
        return difference - self._moved_units(node, z - self.mu) if self.antithetic else difference

    def _moved_units(self, node: Node, z: np.ndarray) -> np.ndarray:
        """Losses with one unit of the layer at its number of `z` [n_outputs, n], less the losses."""
        moved = activate(node.layer.activation, z)
        count, n = moved.shape
        arrays = {name: np.tile(values, count) for name, values in self.arrays.items()}
        arrays[node.output].reshape(count, count, n)[np.arange(count), np.arange(count)] = moved
        run_nodes(self.plan, self.theta, arrays, self.plan.graph.nodes.index(node) + 1)
        last = np.broadcast_to(arrays[self.plan.graph.nodes[-1].output], (self.plan.out_features, count * n))
        changes = last.reshape(-1, count, n).swapaxes(0, 1) - self.outputs.T
        return loss_change(self.plan, self.slopes, changes, self.targets)
