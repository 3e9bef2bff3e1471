# SPDX-License-Identifier: MIT
"""Dense networks for PDEs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def dense(
    widths: tuple[int, ...], activation: str = "tanh", gain: float = 1.0, seed: int = 0, centre: float = 0.0
) -> "torch.nn.Module":
    """Linear layers of those widths with `activation` ("tanh" or "sine") between them.

    The first layer's weights are `gain` times torch's usual start, so that its units bend inside the domain; its bias
    is such that a unit's middle lies around the point (centre, .., centre).
    """
    from ttzo.exporter.nn import Sine, seeded, torch

    between = torch.nn.Tanh if activation == "tanh" else Sine
    with seeded(seed):
        parts = []
        for k, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
            parts += [torch.nn.Linear(n_in, n_out)] + ([between()] if k + 2 < len(widths) else [])
        first = parts[0]
        with torch.no_grad():
            first.weight.mul_(gain)
            first.bias.mul_(gain).sub_(centre * first.weight.sum(1))
    return torch.nn.Sequential(*parts)
