# SPDX-License-Identifier: MIT
"""The demo: handwritten digits of 8 x 8 pixels (scikit-learn), a tensor-train network of 64-64-10."""

import dataclasses
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Loss, Schedule
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe, layer_ranks

if TYPE_CHECKING:
    import torch

# ---- what can be tuned, all in one place
HIDDEN = 64
IN_MODES, HIDDEN_MODES, OUT_MODES = (8, 8), (8, 8), (2, 5)
RANKS = (3, 3)
BATCH = 48
TRAINING = dataclasses.replace(
    Training(train_defaults.default_phases("cge"), steps=300),
    schedule=Schedule.linear,
)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """64 -> `HIDDEN` -> 10 with ReLU, both layers tensor trains."""
    from ttzo.exporter.readers.nn import TTLinear, seeded, torch

    first, second = layer_ranks(ranks, RANKS)
    with seeded(seed):
        return torch.nn.Sequential(
            TTLinear(64, HIDDEN, IN_MODES, HIDDEN_MODES, first, format or "matrix"),
            torch.nn.ReLU(),
            TTLinear(HIDDEN, 10, HIDDEN_MODES, OUT_MODES, second, format or "matrix"),
        )


RECIPE = Recipe(
    name="digits",
    title="handwritten digits, 8 x 8 pixels, 64-64-10 in tensor-train form",
    build=build,
    data="digits",
    loss=Loss.cross_entropy,
    inputs=DATA_INPUTS["digits"],
    batch=BATCH,
    training=TRAINING,
)
