# SPDX-License-Identifier: MIT
"""Autoencoders of the zoo against scikit-learn's detectors on the same windows: area under the curve on all test windows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.exporter import zoo
from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.network.network import read_inputs
from ttzo.host_tools.training import answers, session
from ttzo.host_tools.training.answers import Detected
from ttzo.host_tools.training.checkpoint import Generation
from ttzo.host_tools.training.run import Run

MODELS = tuple(recipe.name for recipe in zoo.AUTOENCODERS)
PATIENCE = 5


@dataclass(frozen=True)
class Rivals:
    """One recording. AUC of the device for each seed, of IsolationForest for the same seeds, and of OneClassSVM, which has
    none, both with scikit-learn's default settings; `found` and `false_alarms` of the device: shares for each seed."""

    model: str
    parameters: int
    work_bytes: int
    training: int  # windows
    test: int
    anomalous: int
    device: tuple[float, ...]
    isolation_forest: tuple[float, ...]
    one_class_svm: float
    found: tuple[float, ...]
    false_alarms: tuple[float, ...]
    macs: int

    @property
    def mean(self) -> float:
        return sum(self.device) / len(self.device)


def run(
    folder: Path, url: str = "native:", seeds: Iterable[int] = range(3), models: Iterable[str] = MODELS,
    show: Callable[[str], object] = lambda text: None,
) -> list[Rivals]:  # fmt: skip
    """Trains in `folder`. Raises what export and training raise."""
    return [_model(folder / model, url, tuple(seeds), model, show) for model in models]


def _model(folder: Path, url: str, seeds: tuple[int, ...], model: str, show: Callable[[str], object]) -> Rivals:
    runs = []
    for seed in seeds:
        plan = export(model, folder / str(seed), seed=seed)
        rows = data_set.load(None, plan)
        with open_device(url, folder / str(seed)) as device:
            runs.append(
                session.train(
                    device, rows, restart=True, test_rows=len(rows.x_test), patience=PATIENCE, keep=Generation.best
                )
            )
        show(f"{model}, seed {seed}: AUC {_detected(runs[-1]).auc:.4f}")
    detected = [_detected(each) for each in runs]
    return Rivals(
        model=model,
        parameters=plan.n_parameters,
        work_bytes=memory.work_bytes(plan),
        training=len(rows.x_train),
        test=detected[0].good + detected[0].anomalous,
        anomalous=detected[0].anomalous,
        device=tuple(each.auc or 0.0 for each in detected),
        isolation_forest=tuple(_auc(_forest(seed), plan, rows) for seed in seeds),
        one_class_svm=_auc(_one_class(), plan, rows),
        found=tuple(each.found or 0.0 for each in detected),
        false_alarms=tuple(each.false_alarms or 0.0 for each in detected),
        macs=max(each.macs for each in runs),
    )


def _detected(run: Run) -> Detected:
    assert run.answers is not None and run.answers.detection is not None  # of a model that finds anomalies
    return run.answers.detection


def _auc(rival: Any, plan: Plan, rows: DataSet) -> float:
    """Of a detector fitted on the training windows, as the network sees them."""
    rival.fit(read_inputs(plan, rows.x_train))
    scores = -rival.score_samples(read_inputs(plan, rows.x_test))
    return float(answers.auc(scores, np.asarray(rows.anomalous) == 1) or 0.0)


def _forest(seed: int) -> Any:
    return _sklearn("ensemble").IsolationForest(random_state=seed)


def _one_class() -> Any:
    return _sklearn("svm").OneClassSVM()


def _sklearn(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{name}")
    except ImportError as error:
        raise DataError(
            "the rival detectors come from scikit-learn, which is not installed", "pip install scikit-learn"
        ) from error
