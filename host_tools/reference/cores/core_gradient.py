# SPDX-License-Identifier: MIT
"""Twin of core_gradient.c and block_gradient.c: estimators that differentiate one core at a time and share its
environments."""

from collections.abc import Iterator

import numpy as np

from ttzo.device_runtime.contract import Combine, Difference, Direction, Estimator, PhaseRecord
from ttzo.exporter.costs.core_memory import Assembled, assembled_by, core_shapes, extents
from ttzo.exporter.costs.cost import evaluations_a_step
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import BY_UNITS
from ttzo.host_tools.reference.cores import unit_gradient
from ttzo.host_tools.reference.cores.coordinate_window import refreshed
from ttzo.host_tools.reference.cores.environments import ZERO, order_of_slices, slices
from ttzo.host_tools.reference.cores.sample_cache import SampleCache
from ttzo.host_tools.reference.network.gathered_layer import gathered, tokens_that_count
from ttzo.host_tools.reference.network.loss import mean
from ttzo.host_tools.reference.network.product import multiply
from ttzo.host_tools.reference.number.random import direction


def sum_of_samples(differences: np.ndarray) -> np.ndarray:
    """Sum over the last axis, one chain in ascending order."""
    return np.add.accumulate(differences, axis=-1, dtype=differences.dtype)[..., -1]


class CoreEstimate:
    """One gradient estimate on a batch: `x` [n, in_features], `targets` as a `Network` takes them. `buffer` is what
    cocd remembers. Arrays are of theta's dtype: float32 for the device's bits."""

    def __init__(
        self, plan: Plan, phase: PhaseRecord, seed: int, step: int, theta: np.ndarray, x: np.ndarray,
        targets: np.ndarray, age: int = 0, buffer: np.ndarray | None = None,
    ):  # fmt: skip
        self.plan, self.phase, self.seed, self.step, self.theta = plan, phase, seed, step, theta
        self.real, self.antithetic = theta.dtype.type, phase.difference == Difference.antithetic
        self.mu = self.real(np.float32(phase.perturb_radius))
        self.buffer, self.wanted = buffer, np.ones(plan.n_parameters, bool)
        if phase.estimator == Estimator.cocd:
            self.wanted = refreshed(plan.n_parameters, phase.n_coordinates, age)
        with np.errstate(all="ignore"):
            self.cache = SampleCache(plan, theta, x, targets, phase.estimator in BY_UNITS)
            self.loss = mean(self.cache.losses)
        self.evaluations = evaluations_a_step(plan, phase)

    def _query(self, number: int, places: np.ndarray, moves: np.ndarray) -> np.ndarray:
        difference = self.cache.differences(number, places, moves)
        return difference - self.cache.differences(number, places, -moves) if self.antithetic else difference

    def gradient(self) -> np.ndarray:
        """The estimate [n_parameters]; not finite where a loss was not."""
        gather = self._blocks if self.phase.estimator == Estimator.block_rge else self._layers
        with np.errstate(all="ignore"):
            gradient = gather()
            repeats = self.phase.n_queries if self.phase.estimator == Estimator.block_rge else 1
            mean, sides = self.real(1) / self.real(len(self.cache.losses)), self.real(1 + self.antithetic)
            gradient = gradient * mean * (self.real(1) / (sides * self.real(repeats) * self.mu))
            if self.buffer is not None:
                gradient = np.where(self.wanted, gradient, np.float32(self.phase.stale_decay) * self.buffer)
        return gradient

    # ---- cge, cocd, node_cge, chain_differences

    def _layers(self) -> np.ndarray:
        gradient = np.zeros_like(self.theta)
        scale = self.real(1) if self.phase.estimator in BY_UNITS else self.mu
        chain = self.phase.estimator == Estimator.chain_differences
        units = np.empty(0, self.theta.dtype)
        for number, layer in list(enumerate(self.plan.layers))[:: -1 if chain else 1]:
            if self.plan.gathers:
                self._gathered(gradient, number, layer)
                continue
            if chain and number + 1 < len(self.plan.layers):
                units = self._carried_back(number, layer, units)
            else:
                units = self._unit_changes(number, layer)
            if layer.has_bias:
                bias = layer.tensors[-1].offset
                gradient[bias : bias + layer.out_features] = sum_of_samples(units)
            by = assembled_by(self.plan, number)
            if self.phase.estimator in BY_UNITS and by != Assembled.slices:
                cores = unit_gradient.assemble(layer, by, self.theta, self.cache.inputs[number], units)
                for tensor, core in zip(layer.tensors, cores, strict=False):
                    gradient[tensor.offset : tensor.offset + tensor.size] = core.reshape(-1)
                continue
            for k, (made, tensor) in enumerate(
                zip(
                    slices(layer, self.theta, self.cache.inputs[number], scale, self.plan.cache),
                    layer.tensors,
                    strict=False,
                )
            ):
                shape = core_shapes(layer)[k]
                differences = self._core_differences(number, layer, k, made, units)
                gradient[tensor.offset : tensor.offset + tensor.size] = differences.reshape(shape).reshape(-1)
        return gradient

    def _unit_changes(self, number: int, layer: Layer) -> np.ndarray:
        places = np.arange(layer.out_features)[:, None]
        moves = np.full((layer.out_features, 1, self.cache.z[0].shape[1]), self.mu)
        return self._query(number, places, moves)

    def _carried_back(self, number: int, layer: Layer, after: np.ndarray) -> np.ndarray:
        """chain_differences: from the differences [out_features of the next layer, n] of the next layer's units to this
        layer's, as chain_differences.c makes them."""
        mu, places = self.mu, np.arange(layer.out_features)
        change = self.cache.activation_change(number, places, np.full_like(self.cache.z[number], mu))
        if self.antithetic:
            change = change - self.cache.activation_change(number, places, np.full_like(self.cache.z[number], -mu))
        matrix = self.cache.matrices[number + 1]
        assert matrix is not None  # Plan refuses larger layers
        sums = multiply(matrix[:, None], after, ZERO)
        scale = self.real(1) / (self.real(1 + self.antithetic) * mu)
        return np.where(change == 0, self.real(0), change * scale * sums)

    def _core_differences(self, number: int, layer: Layer, k: int, made: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Differences of all entries of core k, summed over the samples: [left, m, n, right]."""
        a, m, n, b = core_shapes(layer)[k]
        batch = made.shape[-1]
        flat = made.reshape(a * n * b, -1, batch)
        differences = np.zeros((m, a * n * b), made.dtype)
        for mode, places in enumerate(moved_units(layer, k)):
            if self.phase.estimator in BY_UNITS:
                each = multiply(flat.transpose(0, 2, 1), units[places][:, None], ZERO)
            else:
                each = self._query(number, places[None], flat)
            differences[mode] = sum_of_samples(each)
        return differences.reshape(m, a, n, b).transpose(1, 0, 2, 3)

    # ---- cge, cocd through layers that are applied several times: twin of gathered_gradient.c

    def _gathered(self, gradient: np.ndarray, number: int, layer: Layer) -> None:
        """The differences of one layer's coordinates, summed over the samples, into `gradient`."""
        x = self.cache.inputs[number]
        if layer.has_bias:
            places = np.stack([places_of(layer, np.array([feature])) for feature in range(layer.out_features)])
            moves = np.full((*places.shape, x.shape[1]), self.mu)
            bias = layer.tensors[-1].offset
            gradient[bias : bias + layer.out_features] = sum_of_samples(self._query(number, places, moves))
        made = slices(layer, self.theta, gathered(layer, x), self.mu)
        for k, (each, tensor) in enumerate(zip(made, layer.tensors, strict=False)):
            a, m, n, b = core_shapes(layer)[k]
            moves = moved_by_slices(layer, x, each.reshape(a * n * b, -1, each.shape[-1]))
            differences = np.zeros((m, a * n * b), each.dtype)
            for mode, features in enumerate(moved_units(layer, k)):
                places = places_of(layer, features)[None]
                differences[mode] = sum_of_samples(self._query(number, places, moves))
            ordered = differences.reshape(m, a, n, b).transpose(1, 0, 2, 3)
            gradient[tensor.offset : tensor.offset + tensor.size] = ordered.reshape(-1)

    # ---- block_rge

    def _blocks(self) -> np.ndarray:
        gradient, block = np.zeros_like(self.theta), 0
        for number, layer in enumerate(self.plan.layers):
            made = slices(layer, self.theta, self.cache.inputs[number], self.mu, self.plan.cache)
            for k, tensor in enumerate(layer.tensors):
                directions = [self._direction(tensor.size, block, query) for query in range(self.phase.n_queries)]
                moves = np.stack([self._moves(layer, k, made, v) for v in directions])
                differences = self._query(number, np.arange(layer.out_features)[None], moves)
                part = gradient[tensor.offset : tensor.offset + tensor.size]
                for sample in differences.T:
                    for difference, v in zip(sample, directions, strict=True):
                        part[:] = difference * v + part
                block += 1
        return gradient

    def _direction(self, size: int, block: int, query: int) -> np.ndarray:
        number = block * self.phase.n_queries + query
        return direction(size, Direction(self.phase.direction), self.seed, self.step, number).astype(self.real)

    def _moves(self, layer: Layer, k: int, made: list[np.ndarray], v: np.ndarray) -> np.ndarray:
        """By how much the layer's pre-activations move along v, or of the bias: [out_features, batch]."""
        batch = self.cache.z[0].shape[1]
        if k == len(made):
            return np.broadcast_to(self.mu * v[:, None], (layer.out_features, batch))
        a, m, n, b = core_shapes(layer)[k]
        order = order_of_slices(layer, k)
        entries = v.reshape(a, m, n, b).transpose(1, 0, 2, 3).reshape(m, a * n * b)[:, order]
        each = made[k].reshape(a * n * b, -1, batch)[order]
        moves = np.zeros((layer.out_features, batch), self.real)
        for mode, places in enumerate(moved_units(layer, k)):
            moves[places] = multiply(entries[mode][None, None], each, ZERO)
        return moves


def moved_units(layer: Layer, k: int) -> Iterator[np.ndarray]:
    """For each output mode of core k, the units its entries move, ascending: int [ml * mr]."""
    e, m = extents(layer, k), core_shapes(layer)[k][1]
    for mode in range(m):
        yield ((np.arange(e.ml)[:, None] * m + mode) * e.mr + np.arange(e.mr)).reshape(-1)


def places_of(layer: Layer, features: np.ndarray) -> np.ndarray:
    """Where outputs `features` of all applications stand in the layer's output array, in the order of `moved_by_slices`."""
    if isinstance(layer.gather, Patches):
        return (features[:, None] * layer.positions + np.arange(layer.positions)).reshape(-1)
    copies = layer.n_outputs // layer.out_features
    return (np.arange(copies)[:, None] * layer.out_features + features).reshape(-1)


def moved_by_slices(layer: Layer, x: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Slices [slices, features, positions * n] -> what they move of the output array [slices, places, n]; `x` are the
    layer's inputs."""
    n = x.shape[1]
    each = made.reshape(*made.shape[:2], layer.positions, n)
    if layer.gather is None or isinstance(layer.gather, Patches):
        return each.reshape(len(made), -1, n)
    if layer.tokens.combine == Combine.each:
        return np.ascontiguousarray(each.swapaxes(1, 2)).reshape(len(made), -1, n)
    total = np.zeros((*made.shape[:2], n), made.dtype)
    for t in range(layer.positions):
        total = total + each[:, :, t]
    return total / tokens_that_count(layer, x) if layer.tokens.combine == Combine.mean else total
