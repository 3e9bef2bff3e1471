# SPDX-License-Identifier: MIT
"""Sparse coordinate methods: some coordinates are tried at a time, and those that help are moved by a fixed step."""

import math

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals import coordinates
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.host_tools.research.rivals.pruning import weights_of, zo_grasp_shares
from ttzo.host_tools.research.rivals.zeroth_order import Estimate, Step, cge_of

TRAINED, ASKED, AT_ONCE = 0.15, 0.1, 64
REDRAW_EVERY = 5 * 938  # steps; DeepZero draws its coordinates for 5 epochs, here of 64 rows of MNIST


def stp(
    batch: Batch,
    theta: torch.Tensor,
    step: Step,
    *,
    trained: float = TRAINED,
    asked: float = ASKED,
    at_once: int = AT_ONCE,
) -> Estimate:
    """STP (Bergou et al., arXiv 1902.03591; on coordinates Bibi et al., AAAI 2020): of theta + a e_i, theta - a e_i and
    theta the best is kept; a is the learning rate. Two evaluations a coordinate.

    As SZO-SCD's source makes it sparse: a random share `trained` of the coordinates is chosen once, and each step asks
    a random share `asked` of those. `at_once` coordinates are tried from the same theta, then moved together; 1 is one
    after the other.
    """
    return _tried(batch, theta, step, (trained, asked), at_once, both_sides=True)


def szo_scd(
    batch: Batch,
    theta: torch.Tensor,
    step: Step,
    *,
    trained: float = TRAINED,
    asked: float = ASKED,
    at_once: int = AT_ONCE,
) -> Estimate:
    """SZO-SCD (Gu et al., AAAI 2021): shares as for `stp`; theta + a e_i is kept where it is better, otherwise
    theta - a e_i is taken; a is the learning rate. One evaluation a coordinate: the source evaluates the second side too
    where it takes it, but only to know the loss to go on from, and that is asked here once for `at_once` coordinates."""
    return _tried(batch, theta, step, (trained, asked), at_once, both_sides=False)


def _tried(
    batch: Batch, theta: torch.Tensor, step: Step, shares: tuple[float, float], at_once: int, both_sides: bool
) -> Estimate:
    chosen = _chosen(theta, step, *shares)
    walk = _Dense(batch, theta) if _is_dense(batch) else _Whole(batch, theta)
    moved, one, start = torch.zeros_like(theta), theta.new_ones(()), theta.new_full((), math.nan)
    for number, part in enumerate(chosen.split(at_once)):
        part = part.sort().values
        ahead, loss = walk.differences(part, step.rate)
        start = start if number else loss
        if both_sides:
            back, _ = walk.differences(part, -step.rate)
            direction = torch.where(ahead < back, one, -one) * (torch.minimum(ahead, back) < 0)
        else:
            direction = torch.where(ahead < 0, one, -one)
        walk.move(part, step.rate * direction)
        moved[part] = direction
    return Estimate(-moved, start)


def _chosen(theta: torch.Tensor, step: Step, trained: float, asked: float) -> torch.Tensor:
    """The coordinates of this step, in random order; those that are trained at all are drawn in the first."""
    n_trained = max(1, round(trained * len(theta)))
    if "trained" not in step.memory:
        step.memory["trained"] = torch.randperm(len(theta), generator=step.rng)[:n_trained].to(theta.device)
    order = torch.randperm(n_trained, generator=step.rng).to(theta.device)
    return step.memory["trained"][order[: max(1, round(asked * n_trained))]]


def _is_dense(batch: Batch) -> bool:
    return coordinates.suits(batch) and coordinates.is_dense(batch)


class _Whole:
    """Theta on its walk, every query a whole evaluation."""

    def __init__(self, batch: Batch, theta: torch.Tensor):
        self.batch, self.theta = batch, theta.clone()

    def differences(self, part: torch.Tensor, by: float) -> tuple[torch.Tensor, torch.Tensor]:
        found = cge_of(self.batch, self.theta, part, by)
        return found.gradient[part] * by, found.loss

    def move(self, part: torch.Tensor, by: torch.Tensor) -> None:
        self.theta[part] += by


class _Dense:
    """Theta on its walk through two dense layers: pre-activations go along, a query moves one of them.

    The loss to compare with is counted anew for each part, the side that is asked second included.
    """

    def __init__(self, batch: Batch, theta: torch.Tensor):
        network = batch.network
        self.batch, self.kept = batch, network.kept
        batch.cost.macs += len(batch.x) * network.macs
        self.rows = coordinates.Rows(batch, network.full(theta[None]).clone(), batch.x, batch.y)

    def _stored(self, part: torch.Tensor) -> torch.Tensor:
        return part if self.kept is None else self.kept[part]

    @torch.no_grad()
    def differences(self, part: torch.Tensor, by: float) -> tuple[torch.Tensor, torch.Tensor]:
        at = self._stored(part)
        self.batch.cost.evaluations += 1 + len(part)
        found = self.rows.losses.new_zeros(len(part))
        for places, moved in self.rows.all_differences(by, at):
            found[torch.searchsorted(at, places)] = moved.mean(0)
        return found, self.rows.losses.mean()

    @torch.no_grad()
    def move(self, part: torch.Tensor, by: torch.Tensor) -> None:
        self.rows.move(self._stored(part), by)


def deepzero(
    batch: Batch,
    theta: torch.Tensor,
    step: Step,
    *,
    density: float = 0.1,
    radius: float = 5e-3,
    n_scoring: int = 192,
    redraw_every: int = REDRAW_EVERY,
) -> Estimate:
    """DeepZero (Chen et al., arXiv 2310.02025): CGE of random weights, so many of each layer as ZO-GraSP, asked once at
    the start, would keep of it, and of all biases. They are drawn anew each `redraw_every` steps. The model stays dense:
    the others are not pruned, only not asked."""
    if "shares" not in step.memory:
        step.memory["shares"] = zo_grasp_shares(batch, theta, step, density, radius, n_scoring)
    if step.number % redraw_every == 0 or "asked" not in step.memory:
        step.memory["asked"] = _drawn(batch, step).to(theta.device)
    return cge_of(batch, theta, step.memory["asked"], radius)


def _drawn(batch: Batch, step: Step) -> torch.Tensor:
    """All biases, and of each layer's weights a random choice of its share; ascending."""
    chosen = torch.ones(batch.network.n, dtype=torch.bool)
    for layer, share in zip(batch.network.layers, step.memory["shares"].tolist(), strict=True):
        weights = weights_of(layer)
        order = torch.randperm(len(weights), generator=step.rng)
        chosen[weights[order[round(share * len(weights)) :]]] = False
    return chosen.nonzero()[:, 0]
