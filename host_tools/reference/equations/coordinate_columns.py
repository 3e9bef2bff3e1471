# SPDX-License-Identifier: MIT
"""Twin of row_slopes.c, bend.c, coordinate_columns.c and bias_columns.c: what each coordinate does to the residuals of rows. The
rows are the last axis of every array."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Activation, Need, Sampler
from ttzo.exporter.costs.coordinates import JetShape, jet_shape
from ttzo.exporter.pde.program import Direction, RowGroup
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations.derive import (
    Derivatives,
    Noise,
    along_inputs,
    bend_along,
    derive,
    jet_directions,
    linear_part,
    third_derivative,
)
from ttzo.host_tools.reference.equations.pde import groups_with_rows, known, opposite_points, run_at, unknown_values
from ttzo.host_tools.reference.network.merged_layer import merge_cores
from ttzo.host_tools.reference.network.network import layer_forward
from ttzo.host_tools.reference.number import real

ZERO, ONE = np.float32(0), np.float32(1)


@dataclass(frozen=True)
class Slopes:
    """How residuals [n] follow the jets of the outputs: `coefficients` [outputs, width, n] of `shape`, `weights` [directions, n]
    of the second derivatives where their weighted sum stands for them, `unknowns` [constants, n]."""

    shape: JetShape
    coefficients: np.ndarray
    weights: np.ndarray
    unknowns: np.ndarray

    def of_change(self, jet: np.ndarray, output: int = 0) -> np.ndarray:
        """What the residuals change by when that output's jet changes by [.., width, n]: [.., n]."""
        first, *others = self.coefficients[output]
        total = first * jet[..., 0, :]
        for c, slope in enumerate(others, 1):
            total = slope * jet[..., c, :] + total
        return total


class _Line:
    """A residual at points [inputs, n] where the network is derived, and its slopes in what the program reads."""

    def __init__(self, plan: Plan, theta: np.ndarray, group: RowGroup, points: np.ndarray, noise: Noise, side: int,
                 mu: np.float32):  # fmt: skip
        self.plan, self.theta, self.group, self.points, self.mu = plan, theta, group, points, mu
        self.factor = np.float32(-group.root_weight if side else group.root_weight)
        self.found = derive(plan, theta, len(plan.layers), group.condition.needs, points, noise)
        self.unknowns, self.measured = known(plan, theta, group, noise)
        self.residual = self._run(self.found, self.unknowns)

    def _run(self, found: Derivatives, unknowns: np.ndarray) -> np.ndarray:
        return self.factor * run_at(self.plan, self.group.condition, self.points, found, unknowns, self.measured)

    def _slope(self, name: str, *place: int) -> np.ndarray:
        numbers = getattr(self.found, name).copy()
        kept = numbers[place].copy()
        numbers[place] = self.mu * (ONE + np.abs(kept)) + kept
        moved = self._run(dataclasses.replace(self.found, **{name: numbers}), self.unknowns)
        return (moved - self.residual) / (numbers[place] - kept)

    def _of_output(self, o: int, shape: JetShape) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Its coefficients, and the slopes of its second derivatives."""
        needs, pde = self.group.condition.needs, self.plan.equation
        curved, zero = needs & (Need.laplacian | Need.diagonal), np.zeros_like(self.residual)
        of_laplacian = self._slope("laplacian", o) if curved else zero
        second = []
        for i in range(pde.n_directions if shape.n_second else 0):
            own = of_laplacian if i < pde.n_summed else zero
            second.append(own + self._slope("diagonal", i, o) if needs & Need.diagonal else own)
        coefficients = [self._slope("value", o), *(self._slope("first", i, o) for i in range(shape.n_first))]
        coefficients += [np.ones_like(zero)] if shape.sums else second
        for k, each in enumerate(pde.directions if shape.n_along else ()):
            coefficients += [self._slope("along", k, q, o) for q in range(each.order)]
        return coefficients, second

    def _of_unknown(self, k: int) -> np.ndarray:
        own = self.theta[len(self.theta) - len(self.unknowns) + k]
        theta = self.theta.copy()
        theta[len(theta) - len(self.unknowns) + k] = moved = own + self.mu
        return (self._run(self.found, unknown_values(self.plan, theta)) - self.residual) / (moved - own)

    def slopes(self) -> Slopes:
        shape = jet_shape(self.plan.equation, self.group.condition.needs)
        made = [self._of_output(o, shape) for o in range(self.plan.out_features)]
        n = len(self.residual)
        unknowns = [self._of_unknown(k) for k in range(len(self.unknowns))]
        return Slopes(
            shape,
            np.array([coefficients for coefficients, _ in made]),
            np.array(made[0][1], np.float32).reshape(-1, n),
            np.array(unknowns, np.float32).reshape(-1, n),
        )


def linearise(plan: Plan, theta: np.ndarray, group: RowGroup, points: np.ndarray, noise: Noise, mu: np.float32,
              side: int = 0) -> tuple[np.ndarray, Slopes]:  # fmt: skip
    """The share of those points (`side` 1: the opposite ones) in the weighted residuals of a group's rows, and its slopes."""
    line = _Line(plan, theta, group, points, noise, side, mu)
    return line.residual, line.slopes()


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
        shape, scale = slopes.shape, np.float32(plan.input_scale)
        x = np.zeros((n_inputs, shape.width, n), np.float32)
        x[:, 0] = points * scale + np.float32(plan.input_offset)
        if shape.n_first:
            x[:, 1 : 1 + shape.n_first] = jet_directions(plan, noise)
        for at, direction in self._directions():
            x[:, at] = along_inputs(plan, direction, points)
        self.inputs, self.units = [x], []
        for layer in plan.layers[:-1]:
            z = linear_part(layer, theta, x)
            z[:, 0] = layer_forward(layer, theta, np.ascontiguousarray(x[:, 0]))
            x = self._bent(layer.activation, z)
            self.units.append(z)
            self.inputs.append(x)

    def _directions(self) -> Iterator[tuple[int, Direction]]:
        """Each direction, and where its derivatives begin in a jet."""
        at = self.slopes.shape.width - self.slopes.shape.n_along
        for direction in self.plan.equation.directions if self.slopes.shape.n_along else ():
            yield at, direction
            at += direction.order

    def _bent(self, kind: Activation, z: np.ndarray) -> np.ndarray:
        """Jets [.., width, n] after the activation."""
        shape = self.slopes.shape
        value, slope, curvature = bend(kind, z[..., 0, :])
        out = np.empty_like(z)
        out[..., 0, :] = value
        for k in range(1, 1 + shape.n_first):
            out[..., k, :] = slope * z[..., k, :]
        if shape.sums:
            square = np.zeros_like(value)
            for k, weight in enumerate(self.slopes.weights):
                square = weight * z[..., 1 + k, :] * z[..., 1 + k, :] + square
            at = 1 + shape.n_first
            out[..., at, :] = curvature * square + slope * z[..., at, :]
        else:
            for k in range(shape.n_second):
                first, at = z[..., 1 + k, :], 1 + shape.n_first + k
                out[..., at, :] = curvature * (first * first) + slope * z[..., at, :]
        for at, direction in self._directions():
            own = slice(at, at + direction.order)
            third = third_derivative(kind, value, slope)
            out[..., own, :] = bend_along(z[..., own, :], slope, curvature, third)
        return out

    def _weights(self, number: int) -> np.ndarray:
        layer = self.plan.layers[number]
        return self.theta[layer.parameter_offset :][: layer.in_features * layer.out_features].reshape(
            layer.out_features, layer.in_features
        )

    def columns(self, of_last: bool) -> np.ndarray:
        """[coordinates, n]."""
        *before, last = self.plan.layers
        parts = [self.slopes.of_change(self.inputs[-1], o) for o in range(last.out_features)]
        if last.has_bias:
            parts.append(self.slopes.coefficients[:, 0])
        if of_last:
            return np.concatenate(parts)
        for number, layer in enumerate(before):
            made = np.array([self._of_unit(number, j) for j in range(layer.out_features)])
            parts.append(made[:, : layer.in_features].reshape(-1, made.shape[-1]))
            if layer.has_bias:
                parts.append(made[:, -1])
        return np.concatenate([*parts, self.slopes.unknowns])

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
        for o, weights in enumerate(self._weights(-1)):
            for w, own in zip(weights[first:], changes, strict=False):
                total = w * self.slopes.of_change(own, o) + total
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
    has_derivatives = slopes.shape.n_first > 0
    weights = slopes.weights if has_derivatives else np.zeros(first.shape[1:], np.float32)
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
    for k, weight in enumerate(slopes.coefficients[0, 1 : 1 + slopes.shape.n_first]):
        along = weight * first[:, k] + along
    last, before = plan.layers[-1], plan.layers[-2]

    def follow(argument: np.ndarray) -> np.ndarray:
        phi, slope, curvature = bend(before.activation, argument)
        total = slopes.coefficients[0, 0] * phi
        if not has_derivatives:
            return total
        return (slope * along + total) + (curvature * square + slope * second[:, 0])

    at = follow(z)
    parts = [at]
    if last.has_bias:
        parts.append(slopes.coefficients[0, :1])
    if before.has_bias:
        w = theta[last.parameter_offset :][: last.in_features, None]
        parts.append(w * (follow(z + mu) - at) * (ONE / mu))
    return np.concatenate(parts)


# ---- all rows --------------------------------------------------------------------------------------------------------


def residuals_and_columns(plan: Plan, theta: np.ndarray, points: np.ndarray, seed: int, step: int, mu: np.float32,
                          of_last: bool = False) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The weighted residuals [batch] of a step's rows, and their derivatives by the coordinates [coordinates, batch], with
    `of_last` by the last layer's alone."""
    residuals, columns, opposite = [], [], opposite_points(plan, points, seed, step)
    with np.errstate(all="ignore"):
        for group, own in groups_with_rows(plan):
            noise = Noise(seed, step, np.arange(plan.batch)[own])
            base, made = _at_points(plan, theta, group, points[:, own], noise, mu, 0, of_last)
            if group.sampler == Sampler.opposite:
                share, other = _at_points(plan, theta, group, opposite[:, own], noise, mu, 1, of_last)
                base, made = base + share, made + other
            residuals.append(base)
            columns.append(made)
    return np.concatenate(residuals), np.concatenate(columns, axis=1)


def _at_points(plan: Plan, theta: np.ndarray, group: RowGroup, points: np.ndarray, noise: Noise, mu: np.float32,
               side: int, of_last: bool) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    base, slopes = linearise(plan, theta, group, points, noise, mu, side)
    if plan.asks_all:
        return base, _Jets(plan, theta, points, slopes, mu, noise).columns(of_last)
    return base, _bias_columns(plan, theta, points, slopes, mu, noise)
