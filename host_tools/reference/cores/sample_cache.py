# SPDX-License-Identifier: MIT
"""Twin of sample_cache.c and propagate.c: how a change of one layer's pre-activations propagates to the loss."""

import dataclasses

import numpy as np

from ttzo.device_runtime.contract import Activation, Cache, Loss
from ttzo.exporter.costs.core_memory import Assembled, assembled_by, core_shapes, has_matrix, has_narrow_units
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.cores import unit_gradient
from ttzo.host_tools.reference.cores.environments import ZERO, matrix_of
from ttzo.host_tools.reference.network import network
from ttzo.host_tools.reference.network.gathered_layer import combined, gathered
from ttzo.host_tools.reference.network.loss import cross_entropy, mean_squared_error
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


def loss_slopes(loss: Loss, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[n, out]: the softmax of the outputs, or twice their errors."""
    if loss != Loss.cross_entropy:
        return 2 * (outputs - targets)
    grown = real.exp(outputs - outputs.max(axis=1, keepdims=True))
    return grown / np.add.accumulate(grown, axis=1)[:, -1:]


def loss_change(loss: Loss, slopes: np.ndarray, changes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Loss of changed outputs less that of the outputs: changes [queries, out, n] -> [queries, n]."""
    total = np.zeros((changes.shape[0], changes.shape[2]), changes.dtype)
    if loss != Loss.cross_entropy:
        for j in range(changes.shape[1]):
            total = changes[:, j] * (slopes[:, j] + changes[:, j]) + total
        return total * (changes.dtype.type(1) / changes.dtype.type(changes.shape[1]))
    against = changes - changes[:, targets, np.arange(len(targets))][:, None]
    squares, first, second, third = (np.zeros_like(total) for _ in range(4))
    for j in range(changes.shape[1]):
        squares = against[:, j] * against[:, j] + squares
        moment = slopes[:, j] * against[:, j]
        first = first + moment
        moment = moment * against[:, j]
        second = second + moment
        third = moment * against[:, j] + third
        total = slopes[:, j] * real.expm1(against[:, j]) + total
    small = _small_log1p(third * np.float32(1 / 6) + (second * np.float32(0.5) + first))
    return np.where(squares < real.SMALL_SQUARES, small, real.log1p(total))


def _small_log1p(s: np.ndarray) -> np.ndarray:
    q = s * np.float32(-0.25) + np.float32(1 / 3)
    return s * s * (s * q - np.float32(0.5)) + s


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
        self.losses = (cross_entropy if plan.loss == Loss.cross_entropy else mean_squared_error)(outputs, targets)
        self.slopes = loss_slopes(plan.loss, outputs, targets)
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
        change = self._activation_change(number, places, moves)
        for later in range(number + 1, len(self.plan.layers)):
            arrivals = self._arrive(later, places, change)
            places = np.arange(arrivals.shape[1])[None]
            change = self._activation_change(later, places, arrivals)
        return loss_change(
            self.plan.loss, self.slopes, self._scatter(change, places, self.plan.out_features), self.targets
        )

    def _activation_change(self, number: int, places: np.ndarray, moves: np.ndarray) -> np.ndarray:
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
