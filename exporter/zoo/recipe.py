# SPDX-License-Identifier: MIT
"""What the exporter knows of a model of the zoo. Needs no torch: modules are built when they are needed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ttzo.device_runtime.contract import Arithmetic, Cache, Derivative, Loss, Number
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.pde import Problem
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.packing import Packing
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo import mnist_packing

if TYPE_CHECKING:
    import numpy as np
    import torch

Ranks = int | str | tuple[int | tuple[int, ...], ...] | None


@dataclass(frozen=True)
class Inputs:
    """How a row's numbers become network inputs: number * scale + offset, kept and sent as `number`."""

    number: Number = Number.float32
    scale: float = 1.0
    offset: float = 0.0
    packing: Packing | None = None  # of the rows, where the data set is known
    packed_row_bytes: float = 0.0


# What the known data sets hold; a model that names one of them needs no more.
DATA_INPUTS = {
    "digits": Inputs(Number.uint8, 1 / 16),  # grey values 0 to 16
    "mnist": Inputs(Number.uint8, 1 / 255, 0.0, *mnist_packing.CODE),
    "names": Inputs(Number.uint8),  # numbers of words
    "watch": Inputs(Number.int16, 1 / 2048),  # g, and rad/s divided by 3
    "motions": Inputs(Number.int16, 1 / 4096),  # 512 steps of the published unit: an eighth of it
    "vowels": Inputs(Number.int16, 1 / 4096),  # 8192 steps of the published unit: twice it
    "power": Inputs(Number.int16, 1 / 4096),
    "appliances": Inputs(Number.int16, 1 / 4096),  # 4096 steps of a deviation
    "heartbeats": Inputs(Number.int16, 1 / 4096),  # 4096 steps of a deviation of the good rows
    "bleeding": Inputs(Number.int16, 1 / 4096),
}


def known_inputs(data: str | None) -> Inputs | None:
    """What a known data set, or a part of one (`watch:4`), holds; None for any other source."""
    return DATA_INPUTS.get((data or "").partition(":")[0])


@dataclass(frozen=True)
class Recipe:
    """A model with its data, loss and training.

    With a PDE, `reference(points)`, where there is one, gives u at points (n, inputs), for problems without an exact
    solution in elementary functions.

    `build(ranks=None, format=None, seed=0)` gives the module at its start; the same seed gives the same parameters.
    It is None for a model from a file.
    """

    name: str
    title: str
    build: Callable[..., "torch.nn.Module"] | None
    data: str | None = None
    task: str = ""  # or anomaly: plan/anomaly.py
    threshold: str | None = None  # of anomalies
    votes: str | None = None
    loss: Loss = Loss.cross_entropy
    loss_options: LossOptions = LossOptions()
    inputs: Inputs = Inputs()
    input_shape: tuple[int, ...] | None = None  # of one row, where the model does not say it
    augment: Mapping[str, Any] = field(default_factory=dict)  # how training rows are varied: plan/augmentation.py
    batch: int = 32
    arithmetic: Arithmetic | None = None  # None: by the board, choose/arithmetic.py
    cache: Cache = Cache.float32
    freeze: tuple[str, ...] = ()  # names of what is not trained: plan/freeze.py
    frozen: str = "float32"  # or int8: how frozen parameters are kept
    keep_zeros: bool = False  # weights that are zero are pruned: plan/pruning.py
    problem: Problem | None = None  # a PDE instead of data and loss: it brings batch and input number
    derivative: Derivative = Derivative.jet
    radius: float = 0.1
    level: int = 3
    n_pairs: int = 512
    n_sampled: int = 16
    reference: Callable[["np.ndarray"], "np.ndarray"] | None = None
    training: Training = field(default_factory=Training)
    trainings: Mapping[str, Training] = field(default_factory=dict)  # of other estimators, by name
    rows: Mapping[str, int] = field(default_factory=dict)  # a batch of an equation's, where they take another, by name
    options: Mapping[str, Any] = field(default_factory=dict)  # those of its file, by name; then also of a command
    given: Mapping[str, Any] | None = None  # settings that a person chose, batch among them; None: all are the zoo's


def layer_ranks(ranks: Ranks, default: tuple[int | tuple[int, ...], ...]) -> tuple[int | tuple[int, ...], ...]:
    """Interior ranks for each TT layer: None (the default), one number for all, or one entry for each layer.

    As text: "6" for all, "6:4" layer by layer, "6,1,6:6,6,6" bond by bond. Raises `PlanError`.
    """
    if ranks is None:
        return default
    if isinstance(ranks, str):
        ranks = _parse(ranks)
    layers = (ranks,) * len(default) if isinstance(ranks, int) else tuple(ranks)
    if len(layers) == 1:
        layers *= len(default)
    if len(layers) != len(default):
        raise PlanError(
            f"ranks for {len(layers)} layers, but the model has {len(default)} tensor-train layers",
            "give one rank for all, or one group for each layer, separated by colons",
        )
    return layers


def _parse(text: str) -> tuple[int | tuple[int, ...], ...]:
    try:
        groups = [tuple(int(rank) for rank in group.split(",")) for group in text.split(":")]
    except ValueError:
        raise PlanError(f"ranks {text!r} are not numbers", 'write "6", "6:4" or "6,1,6:6,6,6"') from None
    return tuple(group[0] if len(group) == 1 else group for group in groups)
