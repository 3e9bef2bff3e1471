# SPDX-License-Identifier: MIT
"""The loss of a physics-informed network as an objective: the paper's 20-dimensional HJB equation (eq. 14),

u_t + lap u - 0.05 ||grad_x u||^2 = -2, u = (1 - t) N(x, t) + sum x, exact: sum x + 1 - t,

with the derivatives of v = (1 - t) N by jets, which are exact, or a stencil: numbers at nodes around a point.
"""

import math
from dataclasses import dataclass, field
from functools import cache

from ttzo.device_runtime.contract import Activation, TtzoError
from ttzo.exporter.pde import sparse_grid
from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.network import Network, at_once, run, through
from ttzo.host_tools.research.rivals.objective import Cost

DIMENSION = 20
INPUTS = DIMENSION + 1
POINTS_AT_ONCE = {"cpu": 1 << 7, "cuda": 1 << 17}  # rows in one forward pass
DERIVATIVES = ("jet", "fd", "se", "sg")
STEP_FD, RADIUS, LEVEL, PAIRS = 0.01, 0.1, 3, 512


@dataclass(frozen=True, eq=False)
class Stencil:
    """v_t, grad v and lap v as weighted sums of v(node) - v(point): nodes (K, 21) relative to the point, weights
    (K, 22), columns v_t, the 20 of the gradient, the Laplacian."""

    nodes: torch.Tensor
    weights: torch.Tensor


def stencil(name: str, rng: torch.Generator, like: torch.Tensor) -> Stencil:
    """Central differences of step 0.01 (fd); Stein's estimator (eq. 9) at sigma = 0.1 with 512 antithetic pairs of random
    nodes, drawn anew each time (se), or with the sparse grid of level 3 (sg, eq. 13)."""
    if name == "se":
        half = RADIUS * torch.randn(PAIRS, INPUTS, generator=rng, dtype=torch.float64)
        made = _stein(torch.cat([half, -half]), torch.full((2 * PAIRS,), 0.5 / PAIRS, dtype=torch.float64))
    elif name in ("fd", "sg"):
        made = _differences(STEP_FD) if name == "fd" else _grid(LEVEL)
    else:
        raise TtzoError(f"there is no derivative {name!r}", f"choose one of {', '.join(DERIVATIVES)}")
    return Stencil(made.nodes.to(like), made.weights.to(like))


def _differences(h: float) -> Stencil:
    unit = torch.eye(INPUTS, dtype=torch.float64)
    weights = torch.zeros(2 * INPUTS, 2 + DIMENSION, dtype=torch.float64)
    for i in range(INPUTS):
        column = 1 + i if i < DIMENSION else 0
        weights[i, column], weights[INPUTS + i, column] = 0.5 / h, -0.5 / h
    weights[:DIMENSION, -1] = weights[INPUTS:-1, -1] = 1 / h**2
    return Stencil(torch.cat([h * unit, -h * unit]), weights)


@cache
def _grid(level: int) -> Stencil:
    """The sparse grid's nodes take longer to make than a step with them does on a GPU."""
    grid = sparse_grid.smolyak(INPUTS, level)
    return _stein(RADIUS * torch.from_numpy(grid.nodes()), torch.from_numpy(grid.weights()))


def _stein(nodes: torch.Tensor, w: torch.Tensor) -> Stencil:
    """grad = sum w delta / sigma^2 v(x + delta), lap = sum w (||delta||^2 - sigma^2 D) / sigma^4 v(x + delta), the norm
    and D of the 20 coordinates of space."""
    space, time = nodes[:, :DIMENSION], nodes[:, DIMENSION:]
    square = space.square().sum(1, keepdim=True) - RADIUS**2 * DIMENSION
    parts = [time / RADIUS**2, space / RADIUS**2, square / RADIUS**4]
    return Stencil(nodes, w[:, None] * torch.cat(parts, 1))


# ---- derivatives: (v_t (P,), grad (P, 20), lap (P,)) at points (P, 21) ----------------------------------------------------


def v(network: Network, theta: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(1 - t) N at points (P, 21): (P,)."""
    ready, size = network.ready(network.full(theta[None])), at_once(POINTS_AT_ONCE, points.device)
    parts = [(1 - part[:, -1]) * run(ready, part[None])[0, :, 0] for part in points.split(size)]
    return torch.cat(parts)


def by_stencil(network: Network, theta: torch.Tensor, points: torch.Tensor, rule: Stencil):
    around = torch.cat([points[:, None], points[:, None] + rule.nodes], 1)
    values = v(network, theta, around.reshape(-1, INPUTS)).reshape(len(points), -1)
    found = (values[:, 1:] - values[:, :1]) @ rule.weights
    return found[:, 0], found[:, 1:-1], found[:, -1]


def by_jets(network: Network, theta: torch.Tensor, points: torch.Tensor):
    """Forward Laplacian (arXiv 2307.08214): value, 21 first derivatives and the running Laplacian go through the net
    together; exact, in 23 columns."""
    stored = network.full(theta[None])
    value = points
    first = torch.eye(INPUTS, dtype=points.dtype, device=points.device)[:, None].expand(-1, len(points), -1)
    lap = torch.zeros_like(points)
    for layer, made in network.ready(stored):
        together = torch.cat([value[None], lap[None], first]).flatten(0, 1)
        bias = stored[0, layer.tensors[-1].offset :][: layer.out_features] if layer.has_bias else 0.0
        moved = through(made, together[None])[0].reshape(2 + INPUTS, len(points), -1)
        value, lap, first = moved[0], moved[1] - bias, moved[2:] - bias
        if layer.activation != Activation.identity:
            slope, bend, value = _curve(layer.activation, value)
            lap = slope * lap + bend * first[:DIMENSION].square().sum(0)
            first = slope * first
    n, rest = value[:, 0], 1 - points[:, -1]
    return rest * first[-1, :, 0] - n, (rest * first[:-1, :, 0]).T, rest * lap[:, 0]


def _curve(activation: Activation, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """phi', phi'' and phi at z."""
    if activation == Activation.sine:
        sine = torch.sin(z)
        return torch.cos(z), -sine, sine
    if activation == Activation.tanh:
        value = torch.tanh(z)
        slope = 1 - value.square()
        return slope, -2 * value * slope, value
    raise TtzoError(f"jets of {activation.name} are not supported", "use sine or tanh")


# ---- the objective ---------------------------------------------------------------------------------------------------


@dataclass
class Residual:
    """The mean squared residual at points (P, 21), its derivatives as `derivative` says; `rng` draws the nodes of `se`,
    the same for all that is asked of this objective."""

    network: Network
    points: torch.Tensor
    derivative: str
    rng: torch.Generator
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self):
        self._rule = None
        if self.derivative != "jet":
            self._rule = stencil(self.derivative, self.rng, self.points)

    @property
    def passes(self) -> int:
        """Forward passes of one point."""
        return 1 + len(self._rule.nodes) if self._rule else 2 + INPUTS

    @property
    def forward_macs(self) -> int:
        return len(self.points) * self.passes * self.network.macs + self.network.prepare_macs

    def losses(self, thetas: torch.Tensor) -> torch.Tensor:
        """Thetas (Q, n) -> losses (Q,)."""
        self.count(len(thetas))
        with torch.no_grad():
            return torch.stack([self.loss_of(theta) for theta in thetas])

    def loss_and_gradient(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """By back-propagation through the estimate of the derivatives."""
        self.count(1, backward=2)
        loss, gradient = theta.new_zeros(()), torch.zeros_like(theta)
        n_points = max(1, 64 * at_once(POINTS_AT_ONCE, self.points.device) // self.passes)
        for part in self.points.split(n_points):  # a graph of all points would not fit
            variable = theta.detach().requires_grad_()
            squares = self._squares(variable, part).sum() / len(self.points)
            gradient += torch.autograd.grad(squares, variable)[0]
            loss += squares.detach()
        return loss, gradient

    def loss_of(self, theta: torch.Tensor) -> torch.Tensor:
        """The loss with its graph, all points at once; not counted."""
        return self._squares(theta, self.points).mean()

    def count(self, evaluations: int, backward: int = 0) -> None:
        self.cost.evaluations += evaluations
        self.cost.macs += (evaluations + backward) * self.forward_macs

    def _squares(self, theta: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        if self._rule is None:
            v_t, grad, lap = by_jets(self.network, theta, points)
        else:
            v_t, grad, lap = by_stencil(self.network, theta, points, self._rule)
        return (v_t + lap - 0.05 * (grad + 1).square().sum(1) + 2).square()


def collocation(n: int, rng: torch.Generator, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """n points uniform in the box, (n, 21)."""
    return torch.rand(n, INPUTS, generator=rng, dtype=dtype)


@torch.no_grad()
def solution_error(network: Network, theta: torch.Tensor, points: torch.Tensor) -> float:
    """Mean squared error of u against sum x + 1 - t; infinite where it is not finite."""
    error = float((v(network, theta, points) - (1 - points[:, -1])).double().square().mean())
    return error if math.isfinite(error) else math.inf
