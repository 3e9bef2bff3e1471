# SPDX-License-Identifier: MIT
"""Twin of sample_cache.c and propagate.c: how a change of one layer's pre-activations propagates to the loss."""

import dataclasses

import numpy as np

from ttzo.device_runtime.contract import Activation, Cache
from ttzo.exporter.costs.core_memory import Assembled, assembled_by, core_shapes, has_matrix, has_narrow_units
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.cores import unit_gradient
from ttzo.host_tools.reference.cores.environments import ZERO, matrix_of
from ttzo.host_tools.reference.network import network
from ttzo.host_tools.reference.network.gathered_layer import combined, gathered
from ttzo.host_tools.reference.network.loss import loss_change, loss_slopes, row_losses
from ttzo.host_tools.reference.number import real


def activation_change(kind: Activation, z: np.ndarray, h: np.ndarray, change: np.ndarray) -> np.ndarray:
    """activation(z + change) - h where h = activation(z), without the cancellation of that difference."""
    if kind == Activation.relu:
        moved = z + change
        return np.where(z > 0, np.where(moved <= 0, -z, change), np.where(moved <= 0, z.dtype.type(0), moved))
    if kind == Activation.tanh:
        t = real.tanh(change)
        return t * (-h * h + 1) / (h * t + 1)
    if kind == Activation.sine:
        half = change * z.dtype.type(0.5)
        return 2 * (real.cos(z + half) * real.sin(half))
    return change


class SampleCache:
    """The forward pass of a batch at theta, and loss differences of changes in it; `assembles`: in the order of node_cge. Arrays
    are of theta's dtype."""

    def __init__(self, plan: Plan, theta: np.ndarray, x: np.ndarray, targets: np.ndarray, assembles: bool = False):
        self.plan, self.theta, self.targets = plan, theta, targets
        self.inputs, self.z = [np.ascontiguousarray(x.T)], []
        for number, layer in enumerate(plan.layers):
            x = self.inputs[-1]
            if assembles and assembled_by(plan, number) != Assembled.slices:
                self.z.append(unit_gradient.forward(layer, assembled_by(plan, number), theta, x))
            else:
                narrow = has_narrow_units(plan, number)
                each = network.core_by_core(layer, theta, gathered(layer, x), plan.cache, narrow)
                self.z.append(combined(layer, x, each))
            self.inputs.append(network.activate(layer.activation, self.z[-1]))
        outputs = np.ascontiguousarray(self.inputs[-1].T)
        self.losses = row_losses(plan, outputs, targets)
        self.slopes = loss_slopes(plan, outputs, targets)
        self.matrices = [self._matrix(number) for number in range(len(plan.layers))]

    def _matrix(self, number: int) -> np.ndarray | None:
        layer, plan = self.plan.layers[number], self.plan
        if len(core_shapes(layer)) == 1 or plan.gathers and number:
            return matrix_of(layer, self.theta)
        if not has_matrix(layer, number):
            return None
        made = matrix_of(layer, self.theta)
        return network.narrowed(made) if plan.cache == Cache.int16 else made

    def differences(self, number: int, places: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Loss differences [queries, n] when pre-activations `places` (int [queries or 1, moved], ascending) of layer
        `number` move by `moves` [queries, moved, n]."""
        change = self.activation_change(number, places, moves)
        for later in range(number + 1, len(self.plan.layers)):
            arrivals = self._arrive(later, places, change)
            places = np.arange(arrivals.shape[1])[None]
            change = self.activation_change(later, places, arrivals)
        return loss_change(self.plan, self.slopes, self._scatter(change, places, self.plan.out_features), self.targets)

    def activation_change(self, number: int, places: np.ndarray, moves: np.ndarray) -> np.ndarray:
        z, h = self.z[number][places], self.inputs[number + 1][places]
        return activation_change(self.plan.layers[number].activation, z, h, moves)

    @staticmethod
    def _scatter(change: np.ndarray, places: np.ndarray, width: int) -> np.ndarray:
        full = np.zeros((change.shape[0], width, change.shape[2]), change.dtype)
        full[np.arange(len(change))[:, None], np.broadcast_to(places, change.shape[:2])] = change
        return full

    def _arrive(self, number: int, places: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Changes of the inputs of layer `number` -> of its pre-activations [queries, out, n]."""
        layer, matrix = self.plan.layers[number], self.matrices[number]
        if layer.gather and matrix is not None:  # a layer that is applied several times always has one
            images = self._scatter(change, places, layer.n_inputs).swapaxes(0, 1).reshape(layer.n_inputs, -1)
            made = network.multiply(matrix.T[:, None], gathered(layer, images)[:, None], ZERO)
            made = made.reshape(layer.n_outputs, len(change), -1)
            return made.swapaxes(0, 1)
        if matrix is not None:
            weights = matrix[places].transpose(0, 2, 1)[:, :, None]
            return network.multiply(weights, change.swapaxes(0, 1)[:, :, None], ZERO)
        full = self._scatter(change, places, layer.in_features)
        columns = np.ascontiguousarray(full.swapaxes(0, 1)).reshape(layer.in_features, -1)
        made = network.core_by_core(dataclasses.replace(layer, has_bias=False), self.theta, columns)
        return made.reshape(layer.out_features, len(change), -1).swapaxes(0, 1)
