# SPDX-License-Identifier: MIT
"""Gradients from differences of losses: random directions and coordinates (arXiv 2308.09858, eq. 2), and their kin.

An estimator is a function (batch, theta, step) -> `Estimate`; what it remembers between steps is in `step.memory`.
"""

from dataclasses import dataclass, field

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals import coordinates
from ttzo.host_tools.research.rivals.objective import Batch

QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class Estimate:
    """A gradient (n,), and the loss at theta."""

    gradient: torch.Tensor
    loss: torch.Tensor


@dataclass
class Step:
    """What a step brings along: the learning rate, its number, random numbers, and tensors kept between steps. All is
    drawn on the CPU, wherever theta is: the same numbers on every device."""

    rate: float
    number: int
    rng: torch.Generator
    memory: dict[str, torch.Tensor] = field(default_factory=dict)


def rademacher(n_queries: int, like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """(n_queries, *like.shape) of +1 and -1."""
    drawn = torch.randint(0, 2, (n_queries, *like.shape), generator=rng, dtype=torch.int8)
    return drawn.to(like.device).to(like.dtype).mul_(2).sub_(1)


def gaussian(n_queries: int, like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """(n_queries, *like.shape) of N(0, 1)."""
    return torch.randn(n_queries, *like.shape, generator=rng, dtype=like.dtype).to(like.device)


DIRECTIONS = {"rademacher": rademacher, "gaussian": gaussian}


def rge(
    batch: Batch,
    theta: torch.Tensor,
    step: Step,
    *,
    n_queries: int = 10,
    radius: float = 1e-3,
    direction: str = "rademacher",
    antithetic: bool = False,
) -> Estimate:
    """g = 1/N sum_i [L(theta + mu xi_i) - L(theta)] / mu xi_i, or antithetic with L(theta - mu xi_i) and 2 mu."""
    xi = DIRECTIONS[direction](n_queries, theta, step.rng)
    loss = batch.losses(theta[None])[0]
    ahead = batch.losses(theta + radius * xi)
    back = batch.losses(theta - radius * xi) if antithetic else loss
    slopes = (ahead - back) / (radius * (1 + antithetic))
    return Estimate(slopes @ xi / n_queries, loss)


def sparse_rge(
    batch: Batch, theta: torch.Tensor, step: Step, *, n_queries: int, radius: float, density: float
) -> Estimate:
    """FLOPS (Gu et al., DAC 2020): g = 1/N sum_i [L(theta + mu xi_i) - L(theta)] / mu xi_i, Gaussian directions, N at a
    time. With a `density` below 1 only a random subset of theta, drawn once, as arXiv 2308.09858 has it; the source moves
    all of it."""
    if "mask" not in step.memory:
        drawn = torch.rand(len(theta), generator=step.rng)
        step.memory["mask"] = (drawn < density).nonzero()[:, 0].to(theta.device)
    mask = step.memory["mask"]
    loss, gradient = batch.losses(theta[None])[0], torch.zeros_like(theta)
    for count in _portions(n_queries, QUERIES_AT_ONCE // 16):
        xi = gaussian(count, theta[mask], step.rng)
        moved = theta.repeat(count, 1)
        moved[:, mask] += radius * xi
        gradient[mask] += (batch.losses(moved) - loss) / radius @ xi / n_queries
    return Estimate(gradient, loss)


def cge(batch: Batch, theta: torch.Tensor, step: Step, *, radius: float = 1e-3) -> Estimate:
    """g = 1/mu sum_i [L(theta + mu e_i) - L(theta)] e_i over all coordinates; differences that share their environments
    where the network allows it (`coordinates.differences`: the same queries, fewer operations)."""
    if coordinates.suits(batch):
        differences, loss = coordinates.differences(batch, theta, radius)
        return Estimate(differences / radius, loss)
    return cge_of(batch, theta, torch.arange(len(theta), device=theta.device), radius)


def cge_of(batch: Batch, theta: torch.Tensor, which: torch.Tensor, radius: float) -> Estimate:
    """CGE of the coordinates `which` (ascending) alone; the others' derivatives are 0."""
    if coordinates.suits(batch):
        differences, loss = coordinates.differences(batch, theta, radius, which)
        return Estimate(differences / radius, loss)
    loss, gradient = batch.losses(theta[None])[0], torch.zeros_like(theta)
    for part in which.split(QUERIES_AT_ONCE):
        moved = theta.repeat(len(part), 1)
        moved[torch.arange(len(part), device=part.device), part] += radius
        gradient[part] = (batch.losses(moved) - loss) / radius
    return Estimate(gradient, loss)


def cocd(
    batch: Batch, theta: torch.Tensor, step: Step, *, n_coordinates: int = 256, radius: float = 0.1, decay: float = 1.0
) -> Estimate:
    """CoCD (arXiv 2605.14373): the next `n_coordinates` in turn are estimated anew, by central differences of a large
    radius that smooths the loss, in a buffer of stale derivatives; the others fade by `decay`; the step takes the whole
    buffer. Two evaluations a coordinate."""
    n = len(theta)
    buffer = step.memory.get("buffer", torch.zeros_like(theta))
    turn = torch.arange(min(n_coordinates, n), device=theta.device)
    which = ((turn + step.number * n_coordinates) % n).sort().values
    ahead, back = cge_of(batch, theta, which, radius), cge_of(batch, theta, which, -radius)
    step.memory["buffer"] = buffer = buffer * decay
    buffer[which] = (ahead.gradient[which] + back.gradient[which]) / 2
    return Estimate(buffer.clone(), ahead.loss)


def fzoo(batch: Batch, theta: torch.Tensor, step: Step, *, n_queries: int = 10, radius: float = 1e-3) -> Estimate:
    """FZOO (arXiv 2506.09034): one-sided Rademacher queries in one batch, the step divided by the standard deviation
    of their losses: g = 1/N sum_i [L_i - L] xi_i / std(L_i), the deviation over N as the authors' code has it. Its
    variant that keeps half of the losses of the step before is not here."""
    xi = rademacher(n_queries, theta, step.rng)
    loss, ahead = batch.losses(theta[None])[0], batch.losses(theta + radius * xi)
    spread = ahead.std(correction=0).clamp_min(torch.finfo(ahead.dtype).tiny)
    return Estimate((ahead - loss) @ xi / (n_queries * spread), loss)


def _portions(total: int, largest: int) -> list[int]:
    return [min(largest, total - at) for at in range(0, total, largest)]
