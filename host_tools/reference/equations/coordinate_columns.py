# SPDX-License-Identifier: MIT
"""Twin of row_slopes.c, coordinate_columns.c and bias_columns.c: what each coordinate does to the residuals of rows. The
rows are the last axis of every array."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Activation, Need
from ttzo.exporter.pde.program import RowGroup
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations.derive import Derivatives, Noise, derive, jet_directions, linear_part
from ttzo.host_tools.reference.equations.pde import groups_with_rows, run_at
from ttzo.host_tools.reference.network.merged_layer import merge_cores
from ttzo.host_tools.reference.network.network import layer_forward
from ttzo.host_tools.reference.number import real

ZERO, ONE = np.float32(0), np.float32(1)


@dataclass(frozen=True)
class Slopes:
    """How residuals [n] follow the network: `value` [n], `first` and `second` [directions, n], None without derivatives."""

    value: np.ndarray
    first: np.ndarray | None
    second: np.ndarray | None

    def of_change(self, jet: np.ndarray) -> np.ndarray:
        """What the residuals change by when the network's jet changes by [.., width, n]: [.., n]."""
        total = self.value * jet[..., 0, :]
        if self.first is None:
            return total
        for k, slope in enumerate(self.first):
            total = slope * jet[..., 1 + k, :] + total
        return total + jet[..., -1, :]


def linearise(plan: Plan, theta: np.ndarray, group: RowGroup, points: np.ndarray, noise: Noise, mu: np.float32):
    """The weighted residuals of rows of one group, and their slopes."""
    needs = group.condition.needs
    found = derive(plan, theta, len(plan.layers), needs, points, noise)

    def residual(at: Derivatives) -> np.ndarray:
        return np.float32(group.root_weight) * run_at(plan, group.condition, points, at)

    base = residual(found)

    def slope(name: str, place: int) -> np.ndarray:
        numbers = getattr(found, name).copy()
        kept = numbers[place].copy()
        numbers[place] = mu * (ONE + np.abs(kept)) + kept
        moved = residual(dataclasses.replace(found, **{name: numbers}))
        return ((moved - base) / (numbers[place] - kept)).reshape(-1)

    value = slope("value", 0)
    if not needs:
        return base, Slopes(value, None, None)
    curved = needs & (Need.laplacian | Need.diagonal)
    of_laplacian = slope("laplacian", 0) if curved else np.zeros_like(value)
    first, second = [], []
    for i in range(plan.equation.n_directions):
        first.append(slope("first", i))
        own = of_laplacian if i < plan.equation.n_summed else np.zeros_like(value)
        second.append(own + slope("diagonal", i) if needs & Need.diagonal else own)
    return base, Slopes(value, np.array(first), np.array(second))


def bend(kind: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi(z) and its two derivatives."""
    if kind == Activation.sine:
        value = real.sin(z)
        return value, real.cos(z), -value
    if kind == Activation.tanh:
        value = real.tanh(z)
        slope = -value * value + ONE
        return value, slope, np.float32(-2) * value * slope
    if kind == Activation.identity:
        return z, np.ones_like(z), np.zeros_like(z)
    return np.where(z < 0, ZERO, z), np.where(z < 0, ZERO, ONE), np.zeros_like(z)


# ---- dense networks: all parameters ----------------------------------------------------------------------------------


class _Jets:
    """The jets of a dense network's layers at points [inputs, n]: of what each takes, and of its units."""

    def __init__(self, plan: Plan, theta: np.ndarray, points: np.ndarray, slopes: Slopes, mu: np.float32, noise: Noise):
        self.plan, self.theta, self.slopes, self.mu = plan, theta, slopes, mu
        n_inputs, n = points.shape
        width = 1 if slopes.first is None else 2 + plan.equation.n_directions
        x = np.zeros((n_inputs, width, n), np.float32)
        x[:, 0] = points * np.float32(plan.input_scale) + np.float32(plan.input_offset)
        if width > 1:
            x[:, 1:-1] = jet_directions(plan, noise)
        self.inputs, self.units = [x], []
        for layer in plan.layers[:-1]:
            z = linear_part(layer, theta, x)
            z[:, 0] = layer_forward(layer, theta, np.ascontiguousarray(x[:, 0]))
            x = self._bent(layer.activation, z)
            self.units.append(z)
            self.inputs.append(x)

    def _bent(self, kind: Activation, z: np.ndarray) -> np.ndarray:
        """Jets [.., width, n] after the activation."""
        value, slope, curvature = bend(kind, z[..., 0, :])
        out = np.empty_like(z)
        out[..., 0, :] = value
        if self.slopes.second is None:
            return out
        square = np.zeros_like(value)
        for k, weight in enumerate(self.slopes.second):
            along = z[..., 1 + k, :]
            square = weight * along * along + square
            out[..., 1 + k, :] = slope * along
        out[..., -1, :] = curvature * square + slope * z[..., -1, :]
        return out

    def _weights(self, number: int) -> np.ndarray:
        layer = self.plan.layers[number]
        return self.theta[layer.parameter_offset :][: layer.in_features * layer.out_features].reshape(
            layer.out_features, layer.in_features
        )

    def columns(self) -> np.ndarray:
        """[coordinates, n]."""
        *before, last = self.plan.layers
        parts = [self.slopes.of_change(self.inputs[-1])]
        if last.has_bias:
            parts.append(self.slopes.value[None])
        for number, layer in enumerate(before):
            made = np.array([self._of_unit(number, j) for j in range(layer.out_features)])
            parts.append(made[:, : layer.in_features].reshape(-1, made.shape[-1]))
            if layer.has_bias:
                parts.append(made[:, -1])
        return np.concatenate(parts)

    def _of_unit(self, number: int, j: int) -> np.ndarray:
        """Of the weights of unit j, and of its bias: [inputs + 1, n]."""
        z = self.units[number][j]
        moved = np.concatenate([self.mu * self.inputs[number] + z, z[None]])
        moved[-1, 0] = z[0] + self.mu
        change = self._bent(self.plan.layers[number].activation, moved) - self.inputs[number + 1][j]
        return self._carried(number, j, change) * (ONE / self.mu)

    def _carried(self, number: int, j: int, change: np.ndarray) -> np.ndarray:
        """What residuals change by where unit j changes by [queries, width, n]."""
        changes, first = change[None], j
        for later in range(number + 1, len(self.plan.layers) - 1):
            moved = np.repeat(self.units[later][:, None], changes.shape[1], axis=1)
            weights = self._weights(later)[:, first : first + len(changes)]
            for i, own in enumerate(changes):
                moved = weights[:, i, None, None, None] * own + moved
            changes = self._bent(self.plan.layers[later].activation, moved) - self.inputs[later + 1][:, None]
            first = 0
        total = np.zeros(changes.shape[1:2] + changes.shape[-1:], np.float32)
        for w, own in zip(self._weights(-1)[0, first:], changes, strict=False):
            total = w * self.slopes.of_change(own) + total
        return total


# ---- other networks: the last layer, and the biases before it --------------------------------------------------------


def _bias_columns(
    plan: Plan, theta: np.ndarray, points: np.ndarray, slopes: Slopes, mu: np.float32, noise: Noise
) -> np.ndarray:
    """[coordinates, n]."""
    layers = [merge_cores(layer, theta) for layer in plan.layers[:-1]]
    n_inputs, n = points.shape
    value = points * np.float32(plan.input_scale) + np.float32(plan.input_offset)
    first = jet_directions(plan, noise)
    second = np.zeros((n_inputs, 1, n), np.float32)
    weights = np.zeros(first.shape[1:], np.float32) if slopes.second is None else slopes.second
    for number, (layer, parameters) in enumerate(layers):
        z = layer_forward(layer, parameters, value)
        first, second = (linear_part(layer, parameters, part) for part in (first, second))
        square = np.zeros_like(z)
        for k, weight in enumerate(weights):
            square = weight * first[:, k] * first[:, k] + square
        if number + 1 == len(layers):
            break
        value, slope, curvature = bend(layer.activation, z)
        first = slope[:, None] * first
        second = curvature[:, None] * square[:, None] + slope[:, None] * second
    along = np.zeros_like(z)
    for k, weight in enumerate(weights if slopes.first is None else slopes.first):
        along = weight * first[:, k] + along
    last, before = plan.layers[-1], plan.layers[-2]

    def follow(argument: np.ndarray) -> np.ndarray:
        phi, slope, curvature = bend(before.activation, argument)
        total = slopes.value * phi
        if slopes.first is None:
            return total
        return (slope * along + total) + (curvature * square + slope * second[:, 0])

    at = follow(z)
    parts = [at]
    if last.has_bias:
        parts.append(slopes.value[None])
    if before.has_bias:
        w = theta[last.parameter_offset :][: last.in_features, None]
        parts.append(w * (follow(z + mu) - at) * (ONE / mu))
    return np.concatenate(parts)


# ---- all rows --------------------------------------------------------------------------------------------------------


def residuals_and_columns(plan: Plan, theta: np.ndarray, points: np.ndarray, seed: int, step: int, mu: np.float32):
    """The weighted residuals [batch] of a step's rows, and their derivatives by the coordinates [coordinates, batch]."""
    residuals, columns = [], []
    with np.errstate(all="ignore"):
        for group, own in groups_with_rows(plan):
            here, noise = points[:, own], Noise(seed, step, np.arange(plan.batch)[own])
            base, slopes = linearise(plan, theta, group, here, noise, mu)
            residuals.append(base)
            made = _Jets(plan, theta, here, slopes, mu, noise).columns() if plan.asks_all else None
            columns.append(_bias_columns(plan, theta, here, slopes, mu, noise) if made is None else made)
    return np.concatenate(residuals), np.concatenate(columns, axis=1)
