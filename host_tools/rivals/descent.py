# SPDX-License-Identifier: MIT
"""Sparse coordinate methods: some coordinates are tried at a time, and those that help are moved by a fixed step."""

from ttzo.exporter.nn import torch
from ttzo.host_tools.rivals import coordinates
from ttzo.host_tools.rivals.objective import Batch
from ttzo.host_tools.rivals.pruning import zo_grasp_shares
from ttzo.host_tools.rivals.zeroth_order import Estimate, Step, cge_of


def stp(batch: Batch, theta: torch.Tensor, step: Step, *, density: float = 0.015, at_once: int = 64) -> Estimate:
    """STP (Bibi et al., AAAI 2020), on a random share of the coordinates: of theta + a e_i, theta - a e_i and theta the
    best is kept; a is the learning rate. Two evaluations a coordinate.

    `at_once` coordinates are tried from the same theta, then moved together; 1 is the source's one after the other.
    """
    return _tried(batch, theta, step, density, at_once, both_sides=True)


def szo_scd(batch: Batch, theta: torch.Tensor, step: Step, *, density: float = 0.015, at_once: int = 64) -> Estimate:
    """SZO-SCD (Gu et al., AAAI 2021): a random share of the coordinates; theta + a e_i is kept where it is better,
    otherwise theta - a e_i is taken unseen; a is the learning rate."""
    return _tried(batch, theta, step, density, at_once, both_sides=False)


def _tried(batch: Batch, theta: torch.Tensor, step: Step, density: float, at_once: int, both_sides: bool) -> Estimate:
    chosen = torch.randperm(len(theta), generator=step.rng)[: max(1, round(density * len(theta)))]
    moved, start = theta.clone(), None
    for part in chosen.split(at_once):
        part = part.sort().values
        ahead, loss = _differences(batch, moved, part, step.rate)
        start = loss if start is None else start
        if both_sides:
            behind, _ = _differences(batch, moved, part, -step.rate)
            direction = torch.where(ahead < behind, 1.0, -1.0) * (torch.minimum(ahead, behind) < 0)
        else:
            direction = torch.where(ahead < 0, 1.0, -1.0)
        moved[part] += step.rate * direction
    return Estimate((theta - moved) / step.rate, start)


def _differences(batch: Batch, theta: torch.Tensor, part: torch.Tensor, by: float) -> tuple[torch.Tensor, torch.Tensor]:
    if coordinates.suits(batch) and coordinates.takes_single_entries(batch):
        moved, loss = coordinates.differences(batch, theta, by, part)
        return moved[part], loss
    found = cge_of(batch, theta, part, by)
    return found.gradient[part] * by, found.loss


def deepzero(
    batch: Batch,
    theta: torch.Tensor,
    step: Step,
    *,
    density: float = 0.1,
    radius: float = 1e-3,
    n_scoring: int = 192,
) -> Estimate:
    """DeepZero (Chen et al., arXiv 2310.02025): CGE of random coordinates, so many of each layer as ZO-GraSP, asked once
    at the start, would keep of it. The model stays dense: the others are not pruned, only not asked."""
    if "shares" not in step.memory:
        step.memory["shares"] = zo_grasp_shares(batch, theta, step, density, radius, n_scoring)
    chosen, at = [], 0
    for layer, share in zip(batch.network.layers, step.memory["shares"].tolist(), strict=True):
        places = torch.randperm(layer.n_parameters, generator=step.rng)[: round(share * layer.n_parameters)]
        chosen.append(at + places)
        at += layer.n_parameters
    return cge_of(batch, theta, torch.cat(chosen).sort().values, radius)
