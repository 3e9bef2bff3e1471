# SPDX-License-Identifier: MIT
"""The paper's MNIST network (tables 1 and 2): 784-1024-10, ReLU, both layers TT-matrices. And two narrower ones, whose first
layer is a sum of two Kronecker products over the rows and columns of the picture: `mnist-196` for few operations,
`mnist-100` for a board whose RAM is 48 KB in all."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Cache, Loss, Schedule, Update
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe, layer_ranks

if TYPE_CHECKING:
    import torch

IN_MODES, HIDDEN_MODES, OUT_MODES = (7, 4, 4, 7), (8, 4, 4, 8), (1, 5, 2, 1)
RANKS = (6, 6)  # 3962 parameters; rank 10 has 8314, rank 4 with input modes 4, 7, 7, 4 has 2698
RANKS_3898 = ((10, 2, 10), (6, 6, 6))
BATCH = 64
TRAINING = Training(
    train_defaults.default_phases("cge", Update.adam),
    steps=1875,  # 2 epochs of 60,000 rows
    schedule=Schedule.linear,
    warmup_steps=20,
)
# With five times as many steps, half the rate is better.
TEN_EPOCHS = train_defaults.overridden(TRAINING, {"steps": 9375, "lr": 0.02})
PAPERS = Training(
    steps=10000,
    schedule=Schedule.step,
    decay_every=9380,  # 10 epochs of 60,000 / 64 steps
    decay_factor=0.9,
)
TRAININGS = {
    name: dataclasses.replace(PAPERS, phases=train_defaults.default_phases(name))
    for name in ("rge", "sign_rge", "hybrid")
}

SIDE = 28
NARROW = {196: (14, (2, 6)), 100: (10, (2, 5))}  # hidden units: their rows and columns, ranks


def build(
    ranks: Ranks = None, format: str | None = None, seed: int = 0, in_modes: tuple[int, ...] = IN_MODES
) -> "torch.nn.Module":
    """784 -> 1024 -> 10 with ReLU; ranks for each of the two layers."""
    from ttzo.exporter.readers.nn import TTLinear, seeded, torch

    first, second = layer_ranks(ranks, RANKS)
    with seeded(seed):
        return torch.nn.Sequential(
            TTLinear(784, 1024, in_modes, HIDDEN_MODES, first, format or "matrix"),
            torch.nn.ReLU(),
            TTLinear(1024, 10, HIDDEN_MODES, OUT_MODES, second, format or "matrix"),
        )


RECIPE = Recipe(
    name="mnist-mlp",
    title="MNIST, the paper's 784-1024-10 in tensor-train form",
    build=build,
    data="mnist",
    loss=Loss.cross_entropy,
    inputs=DATA_INPUTS["mnist"],
    batch=BATCH,
    training=TRAINING,
    trainings=TRAININGS,
)


def build_3898(
    ranks: Ranks = None, format: str | None = None, seed: int = 0, in_modes: tuple[int, ...] = IN_MODES
) -> "torch.nn.Module":
    """The same with a narrow middle bond and wide outer ones: 3898 parameters, fewer operations than rank 6 takes.
    As 2L-way trains, whose bonds are others, both layers have rank 6."""
    return build(layer_ranks(ranks, RANKS if format == "tensor" else RANKS_3898), format, seed, in_modes)


RECIPE_3898 = dataclasses.replace(
    RECIPE,
    name="mnist-3898",
    title="MNIST in 3898 parameters, ten epochs",
    build=build_3898,
    training=TEN_EPOCHS,
)


def build_narrow(ranks: Ranks = None, format: str | None = None, seed: int = 0, hidden: int = 196) -> "torch.nn.Module":
    """784 -> 196 or 100 -> 10 with ReLU; ranks for each of the two layers."""
    from ttzo.exporter.readers.nn import TTLinear, seeded, torch

    side, default = NARROW[hidden]
    first, second = layer_ranks(ranks, default)
    with seeded(seed):
        return torch.nn.Sequential(
            TTLinear(784, hidden, (SIDE, SIDE), (side, side), first, format or "matrix"),
            torch.nn.ReLU(),
            TTLinear(hidden, 10, (side, side), (10, 1), second, format or "matrix"),
        )


RECIPE_196 = dataclasses.replace(
    RECIPE,
    name="mnist-196",
    title="MNIST, 784-196-10 by unit differences, few operations",
    build=build_narrow,
    batch=32,
    training=train_defaults.overridden(
        Training(train_defaults.default_phases("node_cge", Update.adam)),
        {"lr": 0.015, "steps": 4100, "schedule": Schedule.cosine, "warmup_steps": 40},
    ),
    trainings={},
)
RECIPE_100 = dataclasses.replace(
    RECIPE_196,
    name="mnist-100",
    title="MNIST, 784-100-10 by unit differences in 48 KB of RAM",
    build=partial(build_narrow, hidden=100),
    batch=6,
    cache=Cache.int16_least,
    training=train_defaults.overridden(
        Training(train_defaults.default_phases("node_cge")),
        {"lr": 0.03, "steps": 80000, "schedule": Schedule.linear},  # 8 epochs
    ),
)
