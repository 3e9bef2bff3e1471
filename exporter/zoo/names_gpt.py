# SPDX-License-Identifier: MIT
"""A character model of surnames: one block of causal attention with four heads, RMS norms, 4,160 parameters.

At each place it reads the letters up to there and gives a score to each letter that may follow.
"""

import dataclasses
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Loss, Schedule, Update
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe

if TYPE_CHECKING:
    import torch

LETTERS, PLACES = 27, 14  # 26 and the one that stands before and after a name
WIDTH, HEADS, HIDDEN = 16, 4, 64
DEVIATION = 0.08  # of all weights at the start
BATCH, STEPS, RATE = 1, 1000, 0.01
BETAS = (0.85, 0.99)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """14 letters -> 14 x 27 scores. Raises `PlanError` for ranks or a format."""
    from ttzo.exporter.readers.nn import seeded, torch

    if ranks is not None or format is not None:
        raise PlanError("names-gpt has no tensor trains", "leave out --ranks and --format, or choose names")
    nn, functional = torch.nn, torch.nn.functional

    class NamesGpt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.letters = nn.Embedding(LETTERS, WIDTH)
            self.places = nn.Parameter(torch.empty(PLACES, WIDTH))
            self.norm = nn.RMSNorm(WIDTH, eps=1e-5, elementwise_affine=False)
            self.query, self.key, self.value, self.join = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
            self.widen = nn.Linear(WIDTH, HIDDEN, bias=False)
            self.narrow = nn.Linear(HIDDEN, WIDTH, bias=False)
            self.scores = nn.Linear(WIDTH, LETTERS, bias=False)
            for parameter in self.parameters():
                nn.init.normal_(parameter, std=DEVIATION)

        def heads(self, x: "torch.Tensor") -> "torch.Tensor":
            return x.reshape(-1, PLACES, HEADS, WIDTH // HEADS).transpose(1, 2)

        def forward(self, names: "torch.Tensor") -> "torch.Tensor":
            x = self.norm(self.letters(names) + self.places)
            read = self.norm(x)
            query, key, value = (self.heads(layer(read)) for layer in (self.query, self.key, self.value))
            seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.join(seen.transpose(1, 2).reshape(-1, PLACES, WIDTH))
            x = x + self.narrow(functional.relu(self.widen(self.norm(x))))
            return self.scores(x)

    with seeded(seed):
        return NamesGpt()


def _training() -> Training:
    (phase,) = train_defaults.default_phases("node_cge", Update.adam)
    phase = dataclasses.replace(phase, learning_rate=RATE, beta1=BETAS[0], beta2=BETAS[1])
    return Training((phase,), steps=STEPS, schedule=Schedule.linear)


RECIPE = Recipe(
    name="names-gpt",
    title="surnames letter by letter, one block of causal attention",
    build=build,
    data="surnames",
    loss=Loss.place_cross_entropy,
    inputs=DATA_INPUTS["names"],
    input_shape=(PLACES,),
    batch=BATCH,
    training=_training(),
)
