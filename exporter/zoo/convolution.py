# SPDX-License-Identifier: MIT
"""Small convolutional networks: two convolutions of stride 2 and a dense layer, for MNIST and the 8 x 8 digits.

A weight of a convolution moves one channel, so that all coordinates of the MNIST network cost a few dozen forward
passes. `mnist-conv-tt` keeps the kernel of the second convolution as a tensor train.

`mnist-99` has three convolutions; its head is a tensor train over (channel, place), which pools: 565 parameters where a dense
head has 4,010. A query of a first weight runs all later layers again, so the first two convolutions halve the picture.
"""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Loss, Schedule, Update
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe, layer_ranks

if TYPE_CHECKING:
    import torch

CHANNELS = (6, 12)  # 3,898 parameters
TT_CHANNELS, TT_MODES, TT_RANK = (8, 16), ((8, 25), (4, 4)), 8  # the second kernel: 8 * 25 -> 16
MNIST_BATCH, MNIST_STEPS, MNIST_RATE = 32, 15000, 0.01  # 8 epochs
CHANNELS_99, PLACES_99, RANK_99 = (8, 14, 16), 25, 3  # 3,827 parameters
BATCH_99, STEPS_99, WARMUP_99, RATE_99 = 128, 5625, 100, 0.015  # 12 epochs
DIGITS_CHANNELS = (6, 8)
DIGITS_BATCH, DIGITS_STEPS = 48, 300


def _mnist_training(rate: float, steps: int, warmup_steps: int = 0) -> Training:
    (phase,) = train_defaults.default_phases("cge", Update.adam)
    phases = (dataclasses.replace(phase, learning_rate=rate),)
    return Training(phases, steps=steps, schedule=Schedule.linear, warmup_steps=warmup_steps)


def build_mnist(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """1 x 28 x 28 -> 6 x 12 x 12 -> 12 x 4 x 4 -> 10 with ReLU, all dense. Raises `PlanError` for ranks or a format."""
    from ttzo.exporter.readers.nn import seeded, torch

    _no_trains("mnist-conv", ranks, format)
    nn, (first, second) = torch.nn, CHANNELS
    with seeded(seed):
        return nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, first, 5, stride=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 5, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * 16, 10),
        )


def build_mnist_tt(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """1 x 28 x 28 -> 8 x 12 x 12 -> 16 x 4 x 4 -> 10 with ReLU, the second convolution a tensor train."""
    from ttzo.exporter.readers.nn import TTConv2d, TTLinear, seeded, torch

    (rank,) = layer_ranks(ranks, (TT_RANK,))
    nn, (first, second), (ins, outs) = torch.nn, TT_CHANNELS, TT_MODES
    with seeded(seed):
        return nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, first, 5, stride=2),
            nn.ReLU(),
            TTConv2d(
                first,
                second,
                5,
                stride=2,
                in_modes=ins,
                out_modes=outs,
                ranks=rank,
                format=format or "matrix",
                gain=2.0,
            ),
            nn.ReLU(),
            nn.Flatten(),
            TTLinear(second * 16, 10, (16, 16), (1, 10), 4, format or "matrix"),
        )


def build_mnist_99(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """1 x 28 x 28 -> 8 x 14 x 14 -> 14 x 7 x 7 -> 16 x 5 x 5 -> 10 with ReLU, the head a tensor train."""
    from ttzo.exporter.readers.nn import TTLinear, seeded, torch

    (rank,) = layer_ranks(ranks, (RANK_99,))
    nn, (first, second, third) = torch.nn, CHANNELS_99
    with seeded(seed):
        return nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, first, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, third, 3),
            nn.ReLU(),
            nn.Flatten(),
            TTLinear(third * PLACES_99, 10, (third, PLACES_99), (10, 1), rank, format or "matrix"),
        )


def build_digits(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """1 x 8 x 8 -> 6 x 6 x 6 -> 8 x 2 x 2 -> 10 with ReLU, the second convolution a tensor train."""
    from ttzo.exporter.readers.nn import TTConv2d, seeded, torch

    (rank,) = layer_ranks(ranks, (6,))
    nn, (first, second) = torch.nn, DIGITS_CHANNELS
    with seeded(seed):
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, first, 3),
            nn.ReLU(),
            TTConv2d(
                first,
                second,
                3,
                stride=2,
                in_modes=(6, 9),
                out_modes=(4, 2),
                ranks=rank,
                format=format or "matrix",
                gain=2.0,
            ),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * 4, 10),
        )


def _no_trains(name: str, ranks: Ranks, format: str | None) -> None:
    if ranks is not None or format is not None:
        raise PlanError(f"{name} has no tensor trains", "leave out --ranks and --format, or choose mnist-conv-tt")


_recipe = partial(Recipe, loss=Loss.cross_entropy)

MNIST = _recipe(
    name="mnist-conv",
    title="MNIST, two dense convolutions and a dense layer",
    build=build_mnist,
    data="mnist",
    inputs=DATA_INPUTS["mnist"],
    batch=MNIST_BATCH,
    training=_mnist_training(MNIST_RATE, MNIST_STEPS),
)
MNIST_TT = dataclasses.replace(
    MNIST,
    name="mnist-conv-tt",
    title="MNIST, a convolution, one in tensor-train form and a tensor-train layer",
    build=build_mnist_tt,
)
MNIST_99 = dataclasses.replace(
    MNIST,
    name="mnist-99",
    title="MNIST, three convolutions and a tensor-train layer, rows shifted by the seed",
    build=build_mnist_99,
    augment={"shift": 1, "shape": (1, 28, 28)},
    batch=BATCH_99,
    training=_mnist_training(RATE_99, STEPS_99, WARMUP_99),
)
DIGITS = _recipe(
    name="digits-conv",
    title="handwritten digits, 8 x 8 pixels, two convolutions, the second in tensor-train form",
    build=build_digits,
    data="digits",
    inputs=DATA_INPUTS["digits"],
    batch=DIGITS_BATCH,
    training=Training(
        train_defaults.default_phases("cge"), steps=DIGITS_STEPS, schedule=Schedule.linear, warmup_steps=20
    ),
)
