# SPDX-License-Identifier: MIT
"""Dense networks for PDEs."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Schedule
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import Ranks

if TYPE_CHECKING:
    import torch


def dense(
    widths: tuple[int, ...],
    activation: str = "tanh",
    gain: float = 1.0,
    seed: int = 0,
    centre: float = 0.0,
    ranks: Ranks = None,
    format: str | None = None,
) -> "torch.nn.Module":
    """Linear layers of those widths with `activation` ("tanh" or "sine") between them.

    The first layer's weights are `gain` times torch's usual start, so that its units are not linear inside the domain; its bias
    is such that a unit's middle lies around the point (centre, .., centre). Raises `PlanError` when ranks or a
    tensor-train format are asked for.
    """
    if ranks is not None or format is not None:
        raise PlanError("this network is dense: it has neither ranks nor a format", "leave out --ranks and --format")
    from ttzo.exporter.readers.nn import Sine, seeded, torch

    between = torch.nn.Tanh if activation == "tanh" else Sine
    with seeded(seed):
        linears = [torch.nn.Linear(n_in, n_out) for n_in, n_out in zip(widths, widths[1:], strict=False)]
        first = linears[0]
        with torch.no_grad():
            first.weight.mul_(gain)
            first.bias.mul_(gain).sub_(centre * first.weight.sum(1))
    parts = [part for linear in linears for part in (linear, between())]
    return torch.nn.Sequential(*parts[:-1])


def in_units(steps: int, ridge: float) -> Mapping[str, Training]:
    """The settings of coordinate_gn: a rate that falls to 0 averages the fits of many batches."""
    (phase,) = train_defaults.default_phases("coordinate_gn")
    training = Training((dataclasses.replace(phase, ridge=ridge),), steps=steps, schedule=Schedule.linear)
    return {"coordinate_gn": training}
