# SPDX-License-Identifier: MIT
"""Twin of derive.c and jets.c: a network's derivatives at points, the points as the last axis of every array."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import LIMIT, Activation, Derivative, Direction, Need, Stream
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.pde.program import JETS
from ttzo.exporter.pde.program import Direction as PdeDirection
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import compensated_jet
from ttzo.host_tools.reference.equations.graph_jets import GraphNetwork
from ttzo.host_tools.reference.network.merged_layer import merge_cores
from ttzo.host_tools.reference.network.network import layer_forward
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.number.random import direction, philox
from ttzo.host_tools.reference.operations.jet import Jet
from ttzo.host_tools.reference.programs import program

ONE, TWO, THREE, FOUR, HALF = (np.float32(value) for value in (1, 2, 3, 4, 0.5))


@dataclass
class Derivatives:
    """Of m outputs at n points: `value` [m, n], `first` and `diagonal` [inputs, m, n], `laplacian` [m, n], `along`
    [directions, orders, m, n], zeros beyond a direction's order. Of sampled_jet `first` is along the random directions,
    and time."""

    value: np.ndarray
    first: np.ndarray | None = None
    laplacian: np.ndarray | None = None
    diagonal: np.ndarray | None = None
    along: np.ndarray | None = None


@dataclass(frozen=True)
class Noise:
    """Where random directions come from: key and step, and the number of each point's row."""

    seed: int
    step: int
    rows: np.ndarray


@dataclass(frozen=True)
class _Network:
    """The first `n_layers` layers of a plan, their cores merged as in columns.c, each with its own parameter vector."""

    layers: tuple[tuple[Layer, np.ndarray], ...]
    theta: np.ndarray
    scale: np.float32
    offset: np.float32

    @staticmethod
    def of(plan: Plan, theta: np.ndarray, n_layers: int) -> "_Network":
        return _Network(
            tuple(merge_cores(layer, theta) for layer in plan.layers[:n_layers]),
            theta,
            np.float32(plan.input_scale),
            np.float32(plan.input_offset),
        )

    def inputs(self, points: np.ndarray) -> np.ndarray:
        return points * self.scale + self.offset

    def centre(self, points: np.ndarray) -> "_Centre":
        return _Centre(self, points)


def derive(plan: Plan, theta: np.ndarray, n_layers: int, needs: int, points: np.ndarray, noise: Noise) -> Derivatives:
    """What `needs` asks for at points [inputs, n], of a chain's first `n_layers` layers or of a whole graph."""
    with np.errstate(all="ignore"):
        if plan.chain is None:
            return _derive_graph(plan, GraphNetwork(plan, theta), needs, points, noise)
        network = _Network.of(plan, theta, n_layers)
        if plan.equation.derivative == Derivative.compensated_jet and not needs:
            return Derivatives(compensated_jet.value(plan, theta, network.inputs(points), n_layers))
        if not needs:
            return Derivatives(network.centre(points).value)
        made = _DERIVE[plan.equation.derivative](plan, network, needs, points, noise)
        if needs & Need.along:
            made.along = _along(plan, network, points)
        return _with_sum(plan, needs, made)


def _derive_graph(plan: Plan, network: GraphNetwork, needs: int, points: np.ndarray, noise: Noise) -> Derivatives:
    if not needs:
        return Derivatives(network.value(points))
    if plan.equation.derivative not in JETS:
        return _with_sum(plan, needs, _DERIVE[plan.equation.derivative](plan, network, needs, points, noise))
    value, first, second = network.jets(points, needs, jet_directions(plan, noise))
    diagonal = bool(needs & Need.diagonal)
    made = Derivatives(value, first, None if diagonal else second, second if diagonal else None)
    if needs & Need.along:
        made.along = np.zeros((len(plan.equation.directions), LIMIT["max_order"], *value.shape), np.float32)
        for number, each in enumerate(plan.equation.directions):
            columns = network.carry(points, Jet(1, each.order), along_inputs(plan, each, points)[None])
            made.along[number, : each.order] = columns[1:]
    return _with_sum(plan, needs, made)


def _with_sum(plan: Plan, needs: int, made: Derivatives) -> Derivatives:
    """Where each second derivative is there, the Laplacian is their sum."""
    if needs & Need.diagonal and made.diagonal is not None:
        made.laplacian = np.zeros_like(made.value)
        for second in made.diagonal[: plan.equation.n_space]:
            made.laplacian = made.laplacian + second
    return made


# ---- jets -----------------------------------------------------------------------------------------------------------


def _slopes(kind: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi(z) and its two derivatives."""
    if kind == Activation.sine:
        value = real.sin(z)
        return value, real.cos(z), -value
    if kind == Activation.tanh:
        value = real.tanh(z)
        first = -value * value + ONE
        return value, first, np.float32(-2) * value * first
    return np.where(z < 0, np.float32(0), z), np.where(z < 0, np.float32(0), ONE), np.zeros_like(z)


def linear_part(layer: Layer, theta: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The layer's product without its bias: [in, ..., n] -> [out, ..., n]."""
    bare = dataclasses.replace(layer, has_bias=False)
    return layer_forward(bare, theta, state.reshape(len(state), -1)).reshape(layer.n_outputs, *state.shape[1:])


def jet_directions(plan: Plan, noise: Noise) -> np.ndarray:
    """How far the inputs go along the directions of a jet's first derivatives, times the input scale: [inputs, directions, n].
    Twin of directions.c."""
    pde, scale, n = plan.equation, np.float32(plan.input_scale), len(noise.rows)
    k, i = np.arange(pde.n_summed), np.arange(pde.n_space)
    made = np.zeros((pde.n_inputs, pde.n_directions, n), np.float32)
    if pde.has_time:
        made[-1, -1] = scale
    if not pde.n_sampled:
        made[i, i] = scale
        return made
    counters = np.zeros((n, -(-pde.n_space // 128), 4), np.uint32)
    counters[..., 0], counters[..., 1] = np.arange(counters.shape[1]), noise.rows[:, None]
    counters[..., 2], counters[..., 3] = noise.step, Stream.jet
    words = philox(counters, noise.seed).reshape(n, -1)
    random = words[:, i // 32] >> (i % 32).astype(np.uint32) & np.uint32(1)  # [n, space]
    parity = np.array([[int(a & b).bit_count() & 1 for a in k] for b in i])  # [space, sampled]
    size = scale * (ONE / np.sqrt(np.float32(pde.n_sampled)))
    made[: pde.n_space, : pde.n_sampled] = np.where(random.T[:, None] != parity[..., None], -size, size)
    return made


def _jets(plan: Plan, network: _Network, needs: int, points: np.ndarray, noise: Noise) -> Derivatives:
    n_inputs, n = points.shape
    diagonal = bool(needs & Need.diagonal)
    squared = n_inputs if diagonal else plan.equation.n_summed if needs & Need.laplacian else 0
    value = network.inputs(points)
    first = jet_directions(plan, noise)  # [features, direction, n]
    columns = n_inputs if diagonal else 1
    second: np.ndarray = np.zeros((n_inputs, columns, n), np.float32)
    for layer, theta in network.layers:
        value = layer_forward(layer, theta, value)
        first = linear_part(layer, theta, first)
        second = linear_part(layer, theta, second)
        if layer.activation == Activation.identity:
            continue
        value, slope, curvature = _slopes(layer.activation, value)
        squares = np.zeros((layer.n_outputs, columns, n), np.float32)
        for i in range(squared):
            own = squares[:, i if diagonal else 0]
            own[:] = first[:, i] * first[:, i] + own
        first = slope[:, None] * first
        second = curvature[:, None] * squares + slope[:, None] * second
    second = np.moveaxis(second, 1, 0)
    return Derivatives(value, np.moveaxis(first, 1, 0), None if diagonal else second[0], second if diagonal else None)


def third_derivative(kind: Activation, at: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The third derivative of an activation whose value and first derivative are these."""
    if kind == Activation.tanh:
        return slope * (FOUR * at * at + -TWO * slope)
    return -slope if kind == Activation.sine else np.zeros_like(at)


def _point_inputs(plan: Plan, points: np.ndarray) -> list[np.ndarray | None]:
    """What a program of the point alone reads."""
    n, zero = plan.equation.n_space, np.zeros(points.shape[1], np.float32)
    known = [points[:n], points[n] if plan.equation.has_time else zero]
    return [*known, *[None] * (LIMIT["program_inputs"] - len(known))]


def along_inputs(plan: Plan, direction: PdeDirection, points: np.ndarray) -> np.ndarray:
    """How far the inputs go along one of the equation's directions, times the input scale: [inputs, n]."""
    scale, made = np.float32(plan.input_scale), np.zeros_like(points)
    if direction.first == LIMIT["vector_direction"]:
        vector = program.run(
            plan.equation.vectors[direction.second], plan.equation.n_space, _point_inputs(plan, points)
        )
        made[: plan.equation.n_space] = scale * vector
    else:
        made[direction.second] = np.float32(direction.factor) * scale
        made[direction.first] = scale
    return made


def _along(plan: Plan, network: _Network, points: np.ndarray) -> np.ndarray:
    """Derivatives along the equation's directions."""
    n, directions = points.shape[1], plan.equation.directions
    outputs = network.layers[-1][0].n_outputs
    made = np.zeros((len(directions), LIMIT["max_order"], outputs, n), np.float32)
    for number, each in enumerate(directions):
        value = network.inputs(points)
        columns = np.zeros((len(points), each.order, n), np.float32)
        columns[:, 0] = along_inputs(plan, each, points)
        for layer, theta in network.layers:
            value, columns = layer_forward(layer, theta, value), linear_part(layer, theta, columns)
            if layer.activation != Activation.identity:
                value, slope, curvature = _slopes(layer.activation, value)
                columns = bend_along(columns, slope, curvature, third_derivative(layer.activation, value, slope))
        made[number, : each.order] = np.moveaxis(columns, 1, 0)
    return made


def bend_along(columns: np.ndarray, slope: np.ndarray, curvature: np.ndarray, third: np.ndarray) -> np.ndarray:
    """Derivatives [.., order, n] along a direction, after units with those derivatives [.., n]."""
    one, made = columns[..., 0, :], columns.copy()
    square = one * one
    if columns.shape[-2] > 2:
        mixed = THREE * curvature * (one * columns[..., 1, :]) + slope * columns[..., 2, :]
        made[..., 2, :] = third * (square * one) + mixed
    if columns.shape[-2] > 1:
        made[..., 1, :] = curvature * square + slope * columns[..., 1, :]
    made[..., 0, :] = slope * one
    return made


def _compensated_jets(plan: Plan, network: _Network, needs: int, points: np.ndarray, _: Noise) -> Derivatives:
    inputs = network.inputs(points)
    value, first, second = compensated_jet.derive(plan, network.theta, len(network.layers), needs, inputs)
    diagonal = bool(needs & Need.diagonal)
    return Derivatives(value, first, None if diagonal else second[0], second if diagonal else None)


# ---- differences to the centre go through the layers, so that no nearby numbers are subtracted ----------------------


class _Centre:
    """The network at points [inputs, n], and what differences to it need of every layer: phi(z), of relu z, and phi'(z)."""

    def __init__(self, network: _Network, points: np.ndarray):
        self.network, self.points = network, points
        self._known: list[tuple[np.ndarray, np.ndarray]] = []
        state = network.inputs(points)
        for layer, theta in network.layers:
            z = state = layer_forward(layer, theta, state)
            if layer.activation != Activation.identity:
                state, slope, _ = _slopes(layer.activation, z)
            self._known.append((z, state) if layer.activation in _UNBENT else (state, slope))
        self.value = state

    def pair(self, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """even and odd [m, n]: the outputs at points +- offset are value + even +- odd."""
        even, odd = np.zeros_like(offset), offset * self.network.scale
        for number, ((layer, theta), (at, slope)) in enumerate(zip(self.network.layers, self._known, strict=True)):
            odd, even = (linear_part(layer, theta, part) for part in (odd, even))
            if number == 0 and layer.activation == Activation.sine:
                sine, versine = real.sine_and_versine(odd)
                even, odd = -at * versine, slope * sine
            elif layer.activation != Activation.identity:
                even, odd = _activate_pair(layer.activation, even, odd, at, slope)
        return even, odd


_UNBENT = (Activation.identity, Activation.relu)


def _relu_difference(d: np.ndarray, z: np.ndarray) -> np.ndarray:
    moved = z + d
    return np.where(z < 0, np.where(moved < 0, np.float32(0), moved), np.where(moved < 0, -z, d))


def _activate_pair(
    kind: Activation, even: np.ndarray, odd: np.ndarray, at: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same of a unit's outputs, where its inputs are z + even +- odd: pairs.c says how."""
    if kind == Activation.sine:
        (sine_e, versine_e), (sine_o, versine_o) = real.sine_and_versine(even), real.sine_and_versine(odd)
        both = -versine_e * versine_o + (versine_e + versine_o)
        at_e = -slope * versine_e + (-at * sine_e + slope)
        return slope * sine_e * (ONE - versine_o) + -at * both, at_e * sine_o
    if kind == Activation.tanh:
        of_e, s = real.tanh(even), real.tanh(odd)
        shift = of_e * slope / (at * of_e + ONE)
        a = at + shift
        scaled = a * s
        share = (-a * a + ONE) / (-scaled * scaled + ONE)
        return -scaled * s * share + shift, s * share
    up, down = _relu_difference(even + odd, at), _relu_difference(even - odd, at)
    return HALF * (up + down), HALF * (up - down)


def _differences(plan: Plan, network: _Network | GraphNetwork, needs: int, points: np.ndarray, _: Noise) -> Derivatives:
    h = np.float32(plan.equation.radius)
    first_scale, second_scale = ONE / h, TWO / (h * h)
    centre = network.centre(points)
    first, second, laplacian = [], [], np.zeros_like(centre.value)
    for i in range(len(points)):
        offset = np.zeros_like(points)
        offset[i] = h
        even, odd = centre.pair(offset)
        first.append(odd * first_scale)
        second.append(even * second_scale)
        if i < plan.equation.n_space:
            laplacian = laplacian + second[-1]
    return Derivatives(centre.value, np.array(first), laplacian, np.array(second))


# ---- the Stein estimator (paper eqs. 8 and 9) -----------------------------------------------------------------------


class _SteinSums:
    """The sums over antithetic pairs."""

    def __init__(self, plan: Plan, network: _Network | GraphNetwork, points: np.ndarray):
        self.plan, self.points = plan, points
        self.centre = network.centre(points)
        self.first = np.zeros((len(points), *self.centre.value.shape), np.float32)
        self.laplacian, self.diagonal = np.zeros_like(self.centre.value), np.zeros_like(self.first)

    def add_pair(self, z: np.ndarray, places: list[int], weight: np.float32) -> None:
        """Nodes points +- sigma z, z [len(places), n] at the coordinates `places`."""
        sigma = np.float32(self.plan.equation.radius)
        per_radius = ONE / sigma
        per_square = per_radius * per_radius
        offset = np.zeros_like(self.points)
        square = np.zeros(z.shape[1:], np.float32)
        for own, i in zip(z, places, strict=True):
            offset[i] = sigma * own
            if i < self.plan.equation.n_space:
                square = own * own + square
        even, odd = self.centre.pair(offset)
        odd, even = odd * (TWO * weight * per_radius), TWO * even
        laplacian_weight = weight * (square - np.float32(self.plan.equation.n_space)) * per_square
        self.laplacian = laplacian_weight * even + self.laplacian
        own_squares = np.full((len(self.points), *z.shape[1:]), -1, np.float32)
        for own, i in zip(z, places, strict=True):
            self.first[i] = own * odd + self.first[i]
            own_squares[i] = own * own + np.float32(-1)
        self.diagonal = (own_squares * (weight * per_square))[:, None] * even + self.diagonal

    def made(self) -> Derivatives:
        return Derivatives(self.centre.value, self.first, self.laplacian, self.diagonal)


def _on_grid(plan: Plan, network: _Network | GraphNetwork, needs: int, points: np.ndarray, _: Noise) -> Derivatives:
    sums = _SteinSums(plan, network, points)
    grid = plan.equation.stein_grid
    for node, weight in zip(grid.nodes().astype(np.float32), grid.weights().astype(np.float32), strict=True):
        places = [int(i) for i in np.flatnonzero(node)]
        if places and node[places[0]] > 0:  # the first of a pair has + at its first coordinate
            sums.add_pair(np.repeat(node[places][:, None], points.shape[1], axis=1), places, weight)
    return sums.made()


def gaussian_pairs(plan: Plan, noise: Noise) -> np.ndarray:
    """monte_carlo's directions, float32 [n_pairs, inputs, n]."""
    n_pairs, n_inputs = plan.equation.n_pairs, plan.equation.n_inputs
    key = ~noise.seed & 0xFFFFFFFFFFFFFFFF
    made = [
        [direction(n_inputs, Direction.gaussian, key, noise.step, int(row) * n_pairs + pair) for row in noise.rows]
        for pair in range(n_pairs)
    ]
    return np.moveaxis(np.array(made, np.float32), 1, 2)


def _by_sampling(
    plan: Plan, network: _Network | GraphNetwork, needs: int, points: np.ndarray, noise: Noise
) -> Derivatives:
    sums = _SteinSums(plan, network, points)
    weight = np.float32(0.5) / np.float32(plan.equation.n_pairs)
    for z in gaussian_pairs(plan, noise):
        sums.add_pair(z, list(range(len(points))), weight)
    return sums.made()


_DERIVE: dict[int, Callable[..., Derivatives]] = {
    Derivative.jet: _jets,
    Derivative.sampled_jet: _jets,
    Derivative.compensated_jet: _compensated_jets,
    Derivative.finite_difference: _differences,
    Derivative.sparse_grid: _on_grid,
    Derivative.monte_carlo: _by_sampling,
}
