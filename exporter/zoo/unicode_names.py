# SPDX-License-Identifier: MIT
"""An embedding classifier: what kind of character a Unicode name stands for, from the name's words.

The data set `names` is Python's own (`unicodedata.ucd_3_2_0`): rows of word numbers, and seven kinds of characters.
"""

from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Combine, Loss, Schedule
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.recipe import DATA_INPUTS, Ranks, Recipe, layer_ranks

if TYPE_CHECKING:
    import torch

WORDS, LENGTH, KINDS = 256, 8, 7  # vocabulary, words of a row, classes
WIDTH = 16
IN_MODES, OUT_MODES, RANK = (16, 16), (4, 4), 4


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """8 words -> the mean of their vectors, 16 numbers from a tensor train -> 7 kinds."""
    from ttzo.exporter.readers.nn import Tokens, TTEmbedding, seeded, torch

    (rank,) = layer_ranks(ranks, (RANK,))
    with seeded(seed):
        return torch.nn.Sequential(
            Tokens(LENGTH),
            TTEmbedding(
                WORDS, WIDTH, Combine.mean.name, 0, in_modes=IN_MODES, out_modes=OUT_MODES, ranks=rank,
                format=format or "matrix",
            ),
            torch.nn.Tanh(),
            torch.nn.Linear(WIDTH, KINDS),
        )  # fmt: skip


RECIPE = Recipe(
    name="names",
    title="kinds of characters from the words of their Unicode names, an embedding in tensor-train form",
    build=build,
    data="names",
    loss=Loss.cross_entropy,
    inputs=DATA_INPUTS["names"],
    batch=64,
    training=Training(train_defaults.default_phases("cge"), steps=600, schedule=Schedule.linear),
)
