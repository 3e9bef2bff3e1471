# SPDX-License-Identifier: MIT
"""Sensors' models trained from their start: accuracy on all test rows at the last step, for several seeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ttzo.exporter import zoo
from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.training import session

ALL = 1 << 30  # test rows
MODELS = tuple(recipe.name for recipe in zoo.SENSORS if recipe.name != "watch")


@dataclass(frozen=True)
class FromScratch:
    """One model. `accuracies`: for each seed, of parameters, noise and sample order alike; `macs`: of a run."""

    model: str
    parameters: int
    work_bytes: int
    test_rows: int
    accuracies: tuple[float, ...]
    macs: int

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)


def run(
    folder: Path, url: str = "native:", seeds: Iterable[int] = range(3), models: Iterable[str] = MODELS,
    show: Callable[[str], object] = lambda text: None,
) -> list[FromScratch]:  # fmt: skip
    """Trains in `folder`. Raises what export and training raise."""
    return [_model(folder / model, url, tuple(seeds), model, show) for model in models]


def _model(folder: Path, url: str, seeds: tuple[int, ...], model: str, show: Callable[[str], object]) -> FromScratch:
    found = []
    for seed in seeds:
        plan = export(model, folder / str(seed), seed=seed)
        rows = data_set.load(None, plan)
        with open_device(url, folder / str(seed)) as device:
            found.append(session.train(device, rows, restart=True, test_rows=ALL))
        show(f"{model}, seed {seed}: {found[-1].test.accuracy:.2%}")
    return FromScratch(
        model=model,
        parameters=plan.n_parameters,
        work_bytes=memory.work_bytes(plan),
        test_rows=found[0].test.n_rows,
        accuracies=tuple(each.test.accuracy for each in found),
        macs=found[0].macs,
    )
