# SPDX-License-Identifier: MIT
"""Cells of the tables on MNIST: networks and methods by name, the paper's schedule (section 5.1): mini-batch 64, the
rate times 0.9 every 10 epochs, 100 epochs. Networks of the studies, `digits-r3` or `mnist-r6` by their data and rank,
are trained for fewer epochs, those on scikit-learn's digits at `DIGITS_RATE` times the rate."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.exporter.readers.nn import seeded, torch
from ttzo.exporter.zoo import digits as zoo_digits
from ttzo.exporter.zoo import mnist as zoo_mnist
from ttzo.host_tools.data import known_data, mnist
from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.reproduce import native_cells, native_hybrid
from ttzo.host_tools.research.reproduce.cell import CPU, Cell, name_of
from ttzo.host_tools.research.reproduce.mnist_work import BATCH, DECAY, DECAY_EVERY, MnistWork, Rows
from ttzo.host_tools.research.reproduce.native_hybrid import NativeHybrid
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch, cross_entropy
from ttzo.host_tools.research.rivals.pruning import grasp

EPOCHS = {"quick": 3, "full": 100}
STUDY_EPOCHS = {"digits": {"quick": 30, "full": 100}, "mnist": {"quick": 1, "full": 10}}
DIGITS_RATE = 3.0  # an epoch has 22 steps
RANKS = (1, 2, 3, 4, 6, 10)  # of the study's networks
HYBRID_COARSE = {"quick": 2, "full": 10}  # epochs after which the hybrid changes over at the latest
GRASP_ROWS = 512


@cache
def load(source: str | None) -> Rows:
    """MNIST from a folder of its IDX files, or downloaded. Raises `DataError`."""
    folder = Path(source) if source else mnist.download()
    x_train, y_train, x_test, y_test = mnist.read_folder(folder)

    def inputs(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x.astype(np.float32) / np.float32(255))

    def classes(y: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(y.astype(np.int64))

    return Rows(inputs(x_train), classes(y_train), inputs(x_test), classes(y_test))


@cache
def load_digits() -> Rows:
    """scikit-learn's digits, 1437 rows to train on and 360 to test. Raises `DataError` without it."""
    x_train, y_train, x_test, y_test = known_data.digits()

    def inputs(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x.astype(np.float32) / np.float32(16))

    return Rows(
        inputs(x_train),
        torch.from_numpy(y_train.astype(np.int64)),
        inputs(x_test),
        torch.from_numpy(y_test.astype(np.int64)),
    )


# ---- networks --------------------------------------------------------------------------------------------------------


def _dense(widths: tuple[int, ...], activation: type[torch.nn.Module], rows: Rows, seed: int) -> Network:
    with seeded(seed):
        parts = []
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            parts += [torch.nn.Linear(n_in, n_out), activation()]
    return Network.of(torch.nn.Sequential(*parts[:-1]))


def _zero(widths: tuple[int, ...], rows: Rows, seed: int) -> Network:
    """A tanh network with zeros for all its parameters, the start of direct feedback alignment's source."""
    made = _dense(widths, torch.nn.Tanh, rows, seed)
    return Network(made.layers, torch.zeros_like(made.start))


def _train(rank: int, in_modes: tuple[int, ...], rows: Rows, seed: int) -> Network:
    return Network.of(zoo_mnist.build(ranks=rank, seed=seed, in_modes=in_modes))


TRAINS = {"tt-8314": (10, (7, 4, 4, 7)), "tt-3962": (6, (7, 4, 4, 7)), "tt-2698": (4, (4, 7, 7, 4))}


def _pruned(n_kept: int, at_start: bool, rows: Rows, seed: int) -> Network:
    """The dense network, pruned by GraSP with the first rows of the training set."""
    whole = _dense((784, 1024, 10), torch.nn.ReLU, rows, seed)
    return grasp(Batch(whole, rows.x_train[:GRASP_ROWS], rows.y_train[:GRASP_ROWS]), n_kept, at_start)


def _local(width: int, groups: int, rows: Rows, seed: int) -> LocalNetwork:
    return LocalNetwork(784, width, groups, seed=seed)


def _digits(rank: int, rows: Rows, seed: int) -> Network:
    return Network.of(zoo_digits.build(ranks=rank, seed=seed))


_RELU, _TANH = torch.nn.ReLU, torch.nn.Tanh
NETWORKS: dict[str, Callable[[Rows, int], Network | LocalNetwork]] = {
    "mlp-1024": partial(_dense, (784, 1024, 10), _RELU),
    "mlp-10": partial(_dense, (784, 10, 10), _RELU),
    "mlp-1000": partial(_dense, (784, 1000, 10), _TANH),
    "mlp-800-800": partial(_zero, (784, 800, 800, 10)),
    **{name: partial(_train, *settings) for name, settings in TRAINS.items()},
    "sp-4089": partial(_pruned, 4089, True),
    "sp-4089-zero": partial(_pruned, 4089, False),
    "local-272k": partial(_local, 256, 1),
    "local-429k": partial(_local, 512, 16),
    **{f"digits-r{rank}": partial(_digits, rank) for rank in RANKS},
    **{f"mnist-r{rank}": partial(_train, rank, (7, 4, 4, 7)) for rank in RANKS},
}
PRUNED = {"sp-4089": "start", "sp-4089-zero": "zero"}  # what the pruned weights are
METHODS = {"first_order": "momentum"}  # the tables' names of rivals, where they differ


# ---- cells --------------------------------------------------------------------------------------------------------


def identity(network: str, column: str, extent: str, seed: int) -> tuple[str, dict[str, Any]]:
    """Key and settings of the cell of that network and column; `extent` is "quick" or "full"."""
    rival, latest = _rival(network, column)
    settings = {
        "network": network,
        "method": rival.name,
        "rates": [phase.rate for phase in rival.phases],
        "batch": BATCH,
        "epochs": _epochs(network, extent),
        "decay": [DECAY_EVERY, DECAY],
        "seed": seed,
    }
    if rival.loss is not cross_entropy:
        settings["loss"] = rival.loss.__name__
    if network in PRUNED:
        settings["pruned"] = PRUNED[network]
    if rival.revision > 1:
        settings["revision"] = rival.revision
    name = f"{rival.name}@{latest}" if latest else rival.name
    return f"{network}.{name}.{extent}.seed{seed}", settings


def native_identity(network: str, column: str, extent: str, seed: int) -> tuple[str, dict[str, Any]]:
    """The same of a hybrid whose second stage runs on `native:`."""
    key, settings = identity(network, column, extent, seed)
    return key.replace(f".{extent}.", f".native.{extent}."), settings | {"engine": native_cells.URL}


def is_native(network: str, column: str, device: torch.device) -> bool:
    """Whether `cell` gives the second stage to the product itself: on the tensor trains, where no GPU is asked for."""
    return column == "hybrid" and network in TRAINS and device.type == "cpu"


def cell(network: str, column: str, extent: str, seed: int, source: str | None, device: torch.device = CPU) -> Cell:
    """The cell of that network and column. `hybrid@3` changes over after 3 epochs at the latest."""
    rows = load_digits() if _study(network) == "digits" else load(source)
    rival, latest = _rival(network, column)
    if len(rival.phases) > 1:
        steps = (int(latest) if latest else HYBRID_COARSE[extent]) * rows.steps_an_epoch
        window = rows.steps_an_epoch if _study(network) == "digits" else rival.plateau.window
        rival = dataclasses.replace(rival, plateau=dataclasses.replace(rival.plateau, latest=steps, window=window))
    native = is_native(network, column, device)
    key, settings = (native_identity if native else identity)(network, column, extent, seed)
    n_steps = settings["epochs"] * rows.steps_an_epoch

    def make() -> MnistWork:
        made = NETWORKS[network](rows, seed)
        if not native:
            return MnistWork(made, rival, rows, seed, device)
        rank, in_modes = TRAINS[network]
        module = zoo_mnist.build(ranks=rank, seed=seed, in_modes=in_modes)
        plan = native_hybrid.plan_of(module, rival.phases[1].rate, n_steps, rows.steps_an_epoch, seed)
        return NativeHybrid(plan, made, rival, rows, seed)

    where = f"{name_of(device)} + {native_cells.URL}" if native else device
    return Cell(key, settings, n_steps, rows.steps_an_epoch, make, where)


def _study(network: str) -> str:
    """ "digits" or "mnist" of a study's network; empty for the tables'."""
    data, _, rank = network.partition("-r")
    return data if rank else ""


def _epochs(network: str, extent: str) -> int:
    return (STUDY_EPOCHS[_study(network)] if _study(network) else EPOCHS)[extent]


def _rival(network: str, column: str) -> tuple[rivals.trainer.Rival, str]:
    """The rival of a column with its rates for that network, and the epochs after its `@`."""
    method, _, latest = column.partition("@")
    rival = rivals.get(METHODS.get(method, method))
    if _study(network) != "digits":
        return rival, latest
    phases = tuple(dataclasses.replace(phase, rate=DIGITS_RATE * phase.rate) for phase in rival.phases)
    return dataclasses.replace(rival, phases=phases), latest
