# SPDX-License-Identifier: MIT
"""Small networks for sensors: convolutions over time and a dense layer. Their data come with two Python packages
(host_tools/data/watch.py, series.py and appliances.py). `appliances` reads features of its signal."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Schedule, Update
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe

if TYPE_CHECKING:
    import torch


def _over_time(
    name: str,
    shape: tuple[int, int],
    convolutions: tuple[tuple[int, int, int], ...],
    classes: int,
    pool: bool = False,
    ranks: Ranks = None,
    format: str | None = None,
    seed: int = 0,
) -> "torch.nn.Module":
    """Rows of `shape` (channels, places in time) -> convolutions (channels, kernel, stride) with ReLU -> with `pool` the
    mean over time -> classes. Raises `PlanError` for ranks or a format."""
    if ranks is not None or format is not None:
        raise PlanError(f"{name} has no tensor trains", "leave out --ranks and --format")
    from ttzo.exporter.readers.nn import seeded, torch

    nn, (channels, places) = torch.nn, shape
    parts: list[torch.nn.Module] = [nn.Unflatten(1, (channels, 1, places))] if convolutions else []
    with seeded(seed):
        for out, kernel, stride in convolutions:
            parts += [nn.Conv2d(channels, out, (1, kernel), stride=(1, stride)), nn.ReLU()]
            channels, places = out, (places - kernel) // stride + 1
        if pool:
            parts, places = [*parts, nn.AdaptiveAvgPool2d(1)], 1
        parts += [nn.Flatten()] if convolutions else []
        return nn.Sequential(*parts, nn.Linear(channels * places, classes))


def _of_features(
    name: str, numbers: int, units: int, classes: int, ranks: Ranks = None, format: str | None = None, seed: int = 0
) -> "torch.nn.Module":
    """Rows of `numbers` -> units, ReLU -> classes. Raises `PlanError` for ranks or a format."""
    if ranks is not None or format is not None:
        raise PlanError(f"{name} has no tensor trains", "leave out --ranks and --format")
    from ttzo.exporter.readers.nn import seeded, torch

    with seeded(seed):
        return torch.nn.Sequential(torch.nn.Linear(numbers, units), torch.nn.ReLU(), torch.nn.Linear(units, classes))


def _training(rate: float, steps: int, estimator: str = "cge", update: Update = Update.momentum) -> Training:
    (phase,) = train_defaults.default_phases(estimator, update)
    return Training((dataclasses.replace(phase, learning_rate=rate),), steps=steps, schedule=Schedule.linear)


def _recipe(
    name: str, title: str, shape: tuple[int, int], convolutions: tuple[tuple[int, int, int], ...], classes: int, batch: int, training: Training, pool: bool = False
) -> Recipe:  # fmt: skip
    return Recipe(
        name=name,
        title=title,
        build=partial(_over_time, name, shape, convolutions, classes, pool),
        data=name,
        inputs=DATA_INPUTS[name],
        batch=batch,
        training=training,
    )


WATCH = _recipe(
    "watch",
    "exercises from a smartwatch, two convolutions over time and a dense layer",
    (6, 50),
    ((10, 5, 2), (12, 5, 2)),
    7,
    batch=16,
    training=_training(0.03, 2700),
)
MOTIONS = _recipe(
    "motions",
    "motions from a smartwatch (BasicMotions), two convolutions over time and a dense layer",
    (6, 100),
    ((8, 7, 3), (8, 5, 3)),
    4,
    batch=10,
    training=_training(0.03, 400),
    pool=True,
)
VOWELS = _recipe(
    "vowels",
    "nine speakers from one vowel (JapaneseVowels), a dense layer",
    (12, 6),
    (),
    9,
    batch=15,
    training=_training(0.01, 3000, "node_cge", Update.adam),
)
POWER = _recipe(
    "power",
    "summer or winter from a day's power demand (ItalyPowerDemand), a convolution over time and a dense layer",
    (1, 24),
    ((16, 5, 3),),
    2,
    batch=16,
    training=_training(0.03, 200),
)
APPLIANCES = Recipe(
    name="appliances",
    title="eleven appliances by the current when they are switched on (PLAID), a hidden layer",
    build=partial(_of_features, "appliances", 74, 64, 11),
    data="appliances",
    inputs=DATA_INPUTS["appliances"],
    augment={"jitter": 0.6},
    batch=32,
    training=_training(0.05, 4000, "node_cge"),
)
