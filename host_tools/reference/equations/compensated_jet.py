# SPDX-License-Identifier: MIT
"""Twin of compensated_columns.c and compensated_jet.c: jets whose numbers are sums of two float32."""

import dataclasses
from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, Need
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations.compensated import (
    Split,
    minus,
    muladd,
    plus,
    product,
    rounded,
    sine_and_cosine,
    split,
    tanh,
    times,
    whole,
)
from ttzo.host_tools.reference.number import real

_F = np.float32
_LEAST_SQUARE = _F(1e-30)


# ---- layers ---------------------------------------------------------------------------------------------------------


def _multiply(weights: Split, data: Split) -> Split:
    """The sum over k of weights[k] * data[k], rounded once: chains over ascending k."""
    zeros = np.zeros(np.broadcast_shapes(weights[0].shape[1:], data[0].shape[1:]), np.float32)
    total = zeros, zeros
    for k in range(len(weights[0])):
        total = muladd(_at(weights, k), _at(data, k), total)
    return rounded(total)


def _at(numbers: Split, k: int) -> Split:
    return numbers[0][k], numbers[1][k]


def _each(change: Callable[[np.ndarray], np.ndarray], numbers: Split) -> Split:
    return change(numbers[0]), change(numbers[1])


def _shaped(numbers: Split, *shape: int) -> Split:
    return numbers[0].reshape(shape), numbers[1].reshape(shape)


def _merged_cores(layer: Layer, theta: np.ndarray) -> list[Split]:
    """The cores of `layer.merged`, each as [left rank, mode, right rank] or what its layer keeps it as."""
    tensors = [split(theta[t.offset : t.offset + t.size].reshape(t.shape)) for t in layer.tensors]
    made = []
    for k, count in layer.cores_together:
        core = tensors[k]
        if count == 2:
            rank = core[0].shape[-1]
            left = _shaped((core[0].reshape(-1, rank).T, core[1].reshape(-1, rank).T), rank, -1, 1)
            core = _multiply(left, _shaped(tensors[k + 1], rank, 1, -1))
        made.append(core)
    return made


def _with_bias(layer: Layer, theta: np.ndarray, z: Split) -> Split:
    bias = theta[layer.tensors[-1].offset :][: layer.out_features, None]
    return rounded(plus(z, bias)) if layer.has_bias else z


def _linear(layer: Layer, cores: list[Split], x: Split) -> Split:
    """The layer's product, its cores merged: [in, n] -> [out, n]."""
    order = list(enumerate(cores))
    if layer.kind == LayerKind.tt_matrix:
        order.reverse()
    n = x[0].shape[-1]
    for (k, core), (repeats, rows, inner, columns) in zip(order, layer.contractions, strict=True):
        if layer.kind == LayerKind.tt_tensor and k >= len(layer.in_modes):
            weights = _shaped(core, inner, 1, 1, columns, 1)
            data = _each(lambda part: np.moveaxis(part, 3, 0), _shaped(x, repeats, rows, 1, inner, n))
        else:
            if layer.kind != LayerKind.tt_tensor:
                core = _each(np.transpose, _shaped(core, rows, inner))
            weights = _shaped(core, inner, 1, rows, 1, 1)
            data = _each(lambda part: np.moveaxis(part, 1, 0), _shaped(x, repeats, inner, 1, columns, n))
        x = _shaped(_multiply(weights, data), -1, n)
    return x


# ---- the basis of what the first layer reads ------------------------------------------------------------------------


def _basis(plan: Plan, theta: np.ndarray) -> Split | None:
    """Twin of compensated_basis.c: [size, n_space], or None where it saves nothing."""
    if not plan.basis_size:
        return None
    read = _merged_cores(plan.layers[0], theta)[0]
    heads, tails = (part.reshape(plan.in_features, plan.basis_size).T[:, : plan.equation.n_space] for part in read)
    found: list[Split] = []
    for r in range(plan.basis_size):
        v = _normalised((heads[r], tails[r]))
        for _ in range(2):
            for q in found:
                v = rounded(muladd(minus(_multiply(q, v)), q, v))
            v = _normalised(v)
        found.append(v)
    return np.array([q[0] for q in found]), np.array([q[1] for q in found])


def _normalised(v: Split) -> Split:
    square = _multiply(v, v)
    factor = _inverse_root(square) if whole(square) > _LEAST_SQUARE else (np.zeros((), _F), np.zeros((), _F))
    return times(factor, v)


def _inverse_root(square: Split) -> Split:
    near = _F(1) / real.sqrt(whole(square))
    left = muladd(minus(square), times(split(near), split(near)), (np.ones((), _F), np.zeros((), _F)))
    return rounded((near, _F(0.5) * near * (left[0] + left[1])))


# ---- activations ----------------------------------------------------------------------------------------------------


def _bent(kind: Activation, z: Split) -> tuple[Split, Split, Split]:
    """phi(z) and its two derivatives."""
    if kind == Activation.sine:
        value, slope = sine_and_cosine(z)
        return value, slope, minus(value)
    if kind == Activation.tanh:
        value = tanh(z)
        one = np.ones_like(z[0]), np.zeros_like(z[0])
        slope = rounded(muladd(minus(value), value, one))
        half = times(value, slope)
        return value, slope, (_F(-2) * half[0], _F(-2) * half[1])
    below = whole(z) < 0
    zero = np.zeros_like(z[0])
    return (
        (np.where(below, zero, z[0]), np.where(below, zero, z[1])),
        (np.where(below, zero, _F(1)), zero),
        (zero, zero),
    )


# ---- jets -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Columns:
    """At n points: the value [features, n], directions [features, inputs, n], and the second derivative along each of
    them or their sum in space, [features, 1 or inputs, n]."""

    value: Split
    first: Split
    second: Split


def value(plan: Plan, theta: np.ndarray, x: np.ndarray, n_layers: int | None = None) -> np.ndarray:
    """Network inputs [in, n] -> outputs [m, n] of the first `n_layers` layers."""
    state = split(x)
    for layer in plan.layers[:n_layers]:
        state = _with_bias(layer, theta, _linear(layer.merged, _merged_cores(layer, theta), state))
        if layer.activation != Activation.identity:
            state = _bent(layer.activation, state)[0]
    return whole(state)


def derive(plan: Plan, theta: np.ndarray, n_layers: int, needs: int, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """At network inputs [in, n]: value [m, n], first derivatives [inputs, m, n], and second ones [inputs, m, n], or
    their sum in space [1, m, n]."""
    n_inputs, n_space, diagonal = len(x), plan.equation.n_space, bool(needs & Need.diagonal)
    units = np.eye(n_inputs, dtype=np.float32)
    directions: Split = units, np.zeros_like(units)
    basis = None if diagonal else _basis(plan, theta)
    squared = n_inputs if diagonal else n_space if needs & Need.laplacian else 0
    if basis is not None:
        squared = min(squared, len(basis[0]))
        heads, tails = (
            np.vstack([np.pad(part, ((0, 0), (0, n_inputs - n_space))), unit[n_space:]])
            for part, unit in zip(basis, directions, strict=True)
        )
        directions = heads, tails
    columns = _begin(x, times(split(np.full_like(directions[0], plan.input_scale)), directions), diagonal)
    for layer in plan.layers[:n_layers]:
        columns = _through(layer, theta, columns, squared)
    first, second = (np.moveaxis(whole(part), 1, 0) for part in (columns.first, columns.second))
    return whole(columns.value), first if basis is None else _shared_out(whole(basis), first), second


def _begin(x: np.ndarray, directions: Split, diagonal: bool) -> _Columns:
    """Columns of the inputs; `directions` [direction, inputs]."""
    n = x.shape[1]
    heads, tails = (np.repeat(part.T[:, :, None], n, axis=2) for part in directions)
    second = np.zeros((len(x), len(x) if diagonal else 1, n), np.float32)
    return _Columns(split(x), (heads, tails), (second, second))


def _shared_out(basis: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Derivatives along the basis and, after them, in time -> along the inputs: [directions, m, n] -> [inputs, m, n]."""
    first = np.zeros((basis.shape[1], *along.shape[1:]), np.float32)
    for direction, each in zip(basis, along, strict=False):
        first = direction[:, None, None] * each + first
    return np.concatenate([first, along[len(basis) :]])


def _through(layer: Layer, theta: np.ndarray, columns: _Columns, squared: int) -> _Columns:
    cores, merged = _merged_cores(layer, theta), layer.merged

    def linear(part: Split) -> Split:
        made = _linear(merged, cores, _shaped(part, len(part[0]), -1))
        return _shaped(made, layer.out_features, *part[0].shape[1:])

    value = _with_bias(layer, theta, _linear(merged, cores, columns.value))
    first, second = linear(columns.first), linear(columns.second)
    if layer.activation == Activation.identity:
        return _Columns(value, first, second)
    value, slope, curvature = _bent(layer.activation, value)
    slopes = slope[0][:, None], slope[1][:, None]
    curvatures = curvature[0][:, None], curvature[1][:, None]
    squares = _squares(first, squared, second[0])
    second = rounded(muladd(curvatures, squares, product(slopes, second)))
    return _Columns(value, times(slopes, first), second)


def _squares(first: Split, squared: int, second: np.ndarray) -> Split:
    """Of the directions that count: each one's own, or their sum where there is one second derivative."""
    totals = np.zeros_like(second), np.zeros_like(second)
    for i in range(squared):
        own = (slice(None), i if second.shape[1] > 1 else 0)
        along = first[0][:, i], first[1][:, i]
        totals[0][own], totals[1][own] = muladd(along, along, (totals[0][own], totals[1][own]))
    return rounded(totals)
