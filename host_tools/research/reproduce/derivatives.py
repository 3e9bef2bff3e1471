# SPDX-License-Identifier: MIT
"""How a network's gradient and Laplacian can be computed from forward passes, what each way costs and its error.

The network is D-64-64-1 with sines and slopes of order 1 over the unit box. Errors are root mean squares over points,
relative to the quantity, against jets in double. Multiply-accumulates are those of the matrix products that were done,
counted as they are.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ttzo.exporter.pde import sparse_grid
from ttzo.exporter.readers.nn import seeded, torch

HIDDEN = 64
NODES_AT_ONCE = 1 << 12
SINGLE, DOUBLE = torch.float32, torch.float64


@dataclass
class Sines:
    """D-64-64-1. `macs` counts the multiply-accumulates of all products since it was made."""

    weights: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor, ...]
    macs: int = 0

    @classmethod
    def made(cls, dimension: int, seed: int = 0) -> "Sines":
        """In double. First weights N(0, 4 / D): about a period across the box's diagonal; the others N(0, 1 / inputs)."""
        with seeded(seed):
            widths = (dimension, HIDDEN, HIDDEN, 1)
            scales = (2.0, 1.0, 1.0)
            weights = tuple(
                torch.randn(m, n, dtype=DOUBLE) * scale / math.sqrt(n)
                for n, m, scale in zip(widths, widths[1:], scales, strict=False)
            )
            return cls(weights, tuple(torch.randn(len(w), dtype=DOUBLE) for w in weights))

    def to(self, kind: torch.dtype) -> "Sines":
        return Sines(tuple(w.to(kind) for w in self.weights), tuple(b.to(kind) for b in self.biases))

    @property
    def macs_of_a_pass(self) -> int:
        return sum(w.numel() for w in self.weights)

    def product(self, k: int, h: torch.Tensor) -> torch.Tensor:
        """h (.., inputs) times the weight of layer k, without its bias; counted."""
        self.macs += h.numel() // h.shape[-1] * self.weights[k].numel()
        return h @ self.weights[k].T

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(.., D) -> (..)."""
        for k, bias in enumerate(self.biases):
            x = self.product(k, x) + bias
            x = torch.sin(x) if k < len(self.biases) - 1 else x
        return x[..., 0]


@dataclass(frozen=True)
class Derivatives:
    """At P points: gradient (P, D), Laplacian (P,)."""

    gradient: torch.Tensor
    laplacian: torch.Tensor


# ---- ways to derivatives ---------------------------------------------------------------------------------------------


def by_jets(net: Sines, x: torch.Tensor) -> Derivatives:
    """Forward Laplacian: value, D slopes and one running Laplacian go through together, D + 2 columns; the first layer's
    slopes are its weights and its Laplacian is 0."""
    z = net.product(0, x) + net.biases[0]
    slopes = net.weights[0].T.expand(len(x), -1, -1)  # (P, D, units)
    laplacian = torch.zeros_like(z)
    for k in range(1, len(net.weights)):
        sine, cosine = torch.sin(z), torch.cos(z)
        laplacian = cosine * laplacian - sine * slopes.square().sum(1)
        slopes = cosine[:, None] * slopes
        z = net.product(k, sine) + net.biases[k]
        slopes, laplacian = net.product(k, slopes), net.product(k, laplacian)
    return Derivatives(slopes[..., 0], laplacian[:, 0])


def by_nested_tangents(net: Sines, x: torch.Tensor) -> Derivatives:
    """Forward mode over forward mode, a direction at a time: value once, then first and second derivative for each
    coordinate, 2 D + 1 columns."""
    z = net.product(0, x) + net.biases[0]
    first = net.weights[0].T.expand(len(x), -1, -1)
    second = torch.zeros_like(first)
    for k in range(1, len(net.weights)):
        sine, cosine = torch.sin(z)[:, None], torch.cos(z)[:, None]
        second = cosine * second - sine * first.square()
        first = cosine * first
        z = net.product(k, sine[:, 0]) + net.biases[k]
        first, second = net.product(k, first), net.product(k, second)
    return Derivatives(first[..., 0], second[..., 0].sum(1))


@dataclass(frozen=True)
class Rule:
    """Weighted sums of f(x + node) - f(x): nodes (K, D), weights of the gradient (K, D) and of the Laplacian (K,)."""

    nodes: torch.Tensor
    gradient: torch.Tensor
    laplacian: torch.Tensor


def central(dimension: int, h: float) -> Rule:
    """Central differences of step h, 2 D nodes."""
    unit = torch.eye(dimension, dtype=DOUBLE)
    both = torch.cat([unit, -unit])
    return Rule(h * both, both / (2 * h), torch.full((2 * dimension,), 1 / h**2, dtype=DOUBLE))


def stein(nodes: torch.Tensor, weights: torch.Tensor, radius: float) -> Rule:
    """Of the function smoothed by N(0, radius^2 I) (paper eqs. 8 and 9): nodes for N(0, I) and their weights."""
    square = nodes.square().sum(1) - nodes.shape[1]
    return Rule(radius * nodes, weights[:, None] * nodes / radius, weights * square / radius**2)


def on_grid(dimension: int, level: int, radius: float) -> Rule:
    """Stein's estimator on the sparse grid (eq. 13), the centre left out: its own difference is 0."""
    grid = sparse_grid.smolyak(dimension, level)
    nodes, weights = torch.from_numpy(grid.nodes()), torch.from_numpy(grid.weights())
    away = nodes.square().sum(1) > 0
    return stein(nodes[away], weights[away], radius)


def sampled(dimension: int, pairs: int, radius: float, seed: int = 0) -> Rule:
    """Stein's estimator with random nodes and their mirror images, the same for all points."""
    half = torch.randn(pairs, dimension, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return stein(torch.cat([half, -half]), torch.full((2 * pairs,), 0.5 / pairs, dtype=DOUBLE), radius)


def by_rule(rule: Rule, net: Sines, x: torch.Tensor) -> Derivatives:
    """Sums in the kind of numbers of x, each point's nodes and its centre evaluated whole."""
    here = net(x)[:, None]
    gradient = laplacian = torch.zeros((), dtype=x.dtype)
    parts = zip(*(part.to(x.dtype).split(NODES_AT_ONCE) for part in _fields(rule)), strict=True)
    for nodes, of_gradient, of_laplacian in parts:
        moved = net(x[:, None] + nodes) - here
        gradient, laplacian = gradient + moved @ of_gradient, laplacian + moved @ of_laplacian
    return Derivatives(gradient, laplacian)


def _fields(rule: Rule) -> tuple[torch.Tensor, ...]:
    return rule.nodes, rule.gradient, rule.laplacian


# ---- measurements ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One way at one setting: forward passes and multiply-accumulates for one point, relative errors."""

    dimension: int
    way: str
    setting: str
    number: str
    passes: int
    macs: int
    gradient_error: float
    laplacian_error: float


Way = Callable[[Sines, torch.Tensor], Derivatives]


def measured(
    net: Sines, x: torch.Tensor, way: str, setting: str, passes: int, estimate: Way, kind: torch.dtype
) -> Finding:
    """`estimate` in numbers of `kind` against jets in double at the same parameters and points (both as rounded)."""
    rounded = net.to(kind)
    found = estimate(rounded, x.to(kind))
    golden = by_jets(rounded.to(DOUBLE), x.to(kind).to(DOUBLE))
    return Finding(
        x.shape[1],
        way,
        setting,
        {SINGLE: "float32", DOUBLE: "float64"}[kind],
        passes,
        rounded.macs // len(x),
        _relative(found.gradient, golden.gradient),
        _relative(found.laplacian, golden.laplacian),
    )


def _relative(found: torch.Tensor, golden: torch.Tensor) -> float:
    return float((found.to(DOUBLE) - golden).norm() / golden.norm())


def points(n: int, dimension: int, seed: int = 1) -> torch.Tensor:
    """Uniform in the unit box, double."""
    return torch.rand(n, dimension, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


STEPS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
RADII = (1.0, 0.3, 0.1, 0.03, 0.01)
LEVELS = (2, 3, 4)
PAIRS = 512


def by_settings(n_points: int, dimension: int = 20) -> Iterator[Finding]:
    """Differences over steps, sparse grids over radii and levels, samples over radii, and jets, in one dimension."""
    net, x = Sines.made(dimension), points(n_points, dimension)
    for kind in (SINGLE, DOUBLE):
        yield measured(net, x, "jet", "", dimension + 2, by_jets, kind)
        for h in STEPS:
            yield _by_rule(net, x, "differences", f"step {h:g}", central(dimension, h), kind)
        for level in LEVELS:
            for radius in RADII:
                rule = on_grid(dimension, level, radius)
                yield _by_rule(net, x, f"grid of level {level}", f"sigma {radius:g}", rule, kind)
        for radius in RADII:
            yield _by_rule(net, x, f"{2 * PAIRS} samples", f"sigma {radius:g}", sampled(dimension, PAIRS, radius), kind)


def by_dimensions(n_points: int, dimensions: tuple[int, ...] = (2, 5, 10, 20, 50, 100)) -> Iterator[Finding]:
    """What the paper compares at its own settings, and two exact ways, over dimensions, in float32."""
    for dimension in dimensions:
        net, x = Sines.made(dimension), points(n_points, dimension)
        yield measured(net, x, "jet", "", dimension + 2, by_jets, SINGLE)
        yield measured(net, x, "nested forward mode", "", 2 * dimension + 1, by_nested_tangents, SINGLE)
        yield _by_rule(net, x, "differences", "step 0.1", central(dimension, 0.1), SINGLE)
        yield _by_rule(net, x, "grid of level 3", "sigma 0.1", on_grid(dimension, 3, 0.1), SINGLE)
        yield _by_rule(net, x, f"{2 * PAIRS} samples", "sigma 0.1", sampled(dimension, PAIRS, 0.1), SINGLE)


def _by_rule(net: Sines, x: torch.Tensor, way: str, setting: str, rule: Rule, kind: torch.dtype) -> Finding:
    def estimate(net: Sines, x: torch.Tensor) -> Derivatives:
        return by_rule(rule, net, x)

    return measured(net, x, way, setting, 1 + len(rule.nodes), estimate, kind)
