# SPDX-License-Identifier: MIT
"""Small autoencoders that learn good windows of a signal and find the others. Their data come with the package aeon
(host_tools/data/recordings.py)."""

from functools import partial
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe

if TYPE_CHECKING:
    import torch


STEPS = 12_000


def _autoencoder(
    name: str, numbers: int, hidden: int, code: int, ranks: Ranks = None, format: str | None = None, seed: int = 0
) -> "torch.nn.Module":
    """Rows of `numbers` -> hidden, tanh -> code -> hidden, tanh -> numbers. Raises `PlanError` for ranks or a format."""
    if ranks is not None or format is not None:
        raise PlanError(f"{name} has no tensor trains", "leave out --ranks and --format")
    from ttzo.exporter.readers.nn import seeded, torch

    nn = torch.nn
    with seeded(seed):
        return nn.Sequential(
            nn.Linear(numbers, hidden),
            nn.Tanh(),
            nn.Linear(hidden, code),
            nn.Linear(code, hidden),
            nn.Tanh(),
            nn.Linear(hidden, numbers),
        )


def _recipe(name: str, title: str, numbers: int, hidden: int, batch: int) -> Recipe:
    return Recipe(
        name=name,
        title=title,
        build=partial(_autoencoder, name, numbers, hidden, 4),
        data=name,
        task="anomaly",
        loss=Loss.mse,
        inputs=DATA_INPUTS[name],
        batch=batch,
        training=Training(steps=STEPS),
        given={"batch": batch, "steps": STEPS},  # the rest is chosen as for a model of one's own
    )


HEARTBEATS = _recipe(
    "heartbeats", "anomalies of an electrocardiogram (ecg-diff-count-3), an autoencoder", 20, hidden=8, batch=8
)
BLEEDING = _recipe(
    "bleeding", "internal bleeding by the arterial pressure (UCR 135), an autoencoder", 24, hidden=14, batch=8
)
