# SPDX-License-Identifier: MIT
"""A trained model meets new data: a few labelled rows of them train it further, on the device.

A part of these rows is held out. Where the model answers it worse after the training than before, the device goes back to
the best point on the way; where that is worse too, to the parameters from before. Rows of the old data show what the model forgets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Loss
from ttzo.host_tools.data import split_rows
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.domain_shifts import SHIFTS
from ttzo.host_tools.device.device import Device, Evaluation
from ttzo.host_tools.reference.number.random import sample_rows
from ttzo.host_tools.training import checkpoint, measurement, session
from ttzo.host_tools.training.checkpoint import Checkpoint, CheckpointError, Generation
from ttzo.host_tools.training.run import Diverged, Progress, Run
from ttzo.host_tools.training.stop import Stop

PASSES = 20  # over the labelled rows, when nobody says how many steps
FEWEST_STEPS = 20
HELD_OUT = 0.1  # of the labelled rows
SHARE_OF_RATE = 0.5  # of a run's learning rate, when nobody says which


@dataclass(frozen=True)
class Measured:
    """The same model on three sets of rows: tests of the new data, what was held out of the labelled rows, the old data
    (None: there are none)."""

    test: Evaluation
    held_out: Evaluation
    old: Evaluation | None


@dataclass(frozen=True)
class Adaptation:
    """`after` is of the parameters that the device holds at the end: those of the last step, or what it `went_back` to."""

    before: Measured
    after: Measured
    went_back: str | None
    run: Run


BEST, START = "the best point on the way", "the start"  # what an adaptation goes back to


def labelled(new: DataSet, n: int, seed: int) -> DataSet:
    """`n` training rows of `new`, drawn by the seed; a tenth of them, each class in proportion, become its validation
    rows. Raises `DataError` when there are not so many."""
    there = len(new.x_train)
    if n > there:
        raise DataError(
            f"{new.name} has {there} rows to train on, {n} are wanted", f"give --rows {there}, or more data"
        )
    if n < 2:
        raise DataError("one labelled row cannot train and be held out", "give --rows 10 or more")
    chosen = sample_rows(seed, np.arange(n), there)
    x, y = new.x_train[chosen], new.y_train[chosen]
    is_held = split_rows.split(n, (max(HELD_OUT, 1 / n), 0.0), seed, y if y.ndim == 1 else None) != 0
    if not is_held.any():  # every class has a single row
        is_held[-1] = True
    return replace(
        new, x_train=x[~is_held], y_train=y[~is_held], x_validation=x[is_held], y_validation=y[is_held], notes=()
    )


def shifted(rows: DataSet, shift: str) -> DataSet:
    """The same rows in the domain `shift` (domain_shifts.py), images all of them."""
    change = SHIFTS[shift]
    return replace(
        rows,
        name=f"{rows.name}, {shift}",
        x_train=change(rows.x_train),
        x_validation=None if rows.x_validation is None else change(rows.x_validation),
        x_test=change(rows.x_test),
    )


def adapt(
    device: Device,
    rows: DataSet,
    start: Checkpoint | None,
    folder: Path,
    *,
    old: DataSet | None = None,
    changes: Mapping[str, Any],
    test_rows: int,
    report: Callable[[Progress], object] = lambda progress: None,
    say: Callable[[str], object] = lambda text: None,
) -> Adaptation:
    """Measures the parameters of `start` (None: those that were exported), trains them on `rows` (see `labelled`) in `folder`, anew, and measures again.
    The checkpoint of `folder` then holds what the device holds. Raises what `session.train` raises; after `Diverged` too
    the device holds the parameters from before."""
    stop = Stop()
    if changes.get("steps") is None:
        changes = {**changes, "steps": max(FEWEST_STEPS, -(-PASSES * len(rows.x_train) // device.plan.batch))}
    device.reset()
    if start:
        device.load(start.parameters, np.zeros(device.plan.n_moments, np.float32), device.state())
    first = device.parameters()
    with stop.listening():
        before = _measure(device, rows, old, test_rows, stop)
    try:
        run = session.train(
            device,
            rows,
            folder,
            changes=changes,
            start=start,
            restart=True,
            test_rows=test_rows,
            report=report,
            say=say,
        )
    except Diverged:
        _go_back(device, folder, first)
        raise
    with stop.listening():
        after, went_back = _measure(device, rows, old, test_rows, stop), None
        if is_worse(device.plan.loss, after.held_out, before.held_out):
            best = _best(device, rows, old, test_rows, stop, folder, first)
            if best is not None and best.held_out.loss < before.held_out.loss:
                return Adaptation(before, best, BEST, run)
            _go_back(device, folder, first)
            after, went_back = before, START
    return Adaptation(before, after, went_back, run)


def _best(
    device: Device, rows: DataSet, old: DataSet | None, test_rows: int, stop: Stop, folder: Path, first: np.ndarray
) -> Measured | None:
    """Gives the device the parameters of the lowest loss of held-out rows during the run, and measures them; None where
    none were kept except the `first` ones."""
    try:
        best = checkpoint.load(folder / Generation.best.value, device.plan)
    except CheckpointError:
        return None
    if np.array_equal(best.parameters, first):
        return None
    _go_back(device, folder, best.parameters)
    return _measure(device, rows, old, test_rows, stop)


def _go_back(device: Device, folder: Path, parameters: np.ndarray) -> None:
    """Gives the device and the run's checkpoint other parameters; its step stays."""
    path = folder / Generation.last.value
    made = checkpoint.load(path, device.plan)
    kept = replace(made, parameters=parameters, moments=np.zeros_like(made.moments))
    checkpoint.save(path, kept)
    device.load(kept.parameters, kept.moments, kept.state)


def _measure(device: Device, rows: DataSet, old: DataSet | None, test_rows: int, stop: Stop) -> Measured:
    return Measured(
        device.evaluate(measurement.test_subset(rows, test_rows), stop.check),
        device.evaluate(rows.validation_rows, stop.check),
        device.evaluate(check_rows(old, test_rows), stop.check) if old is not None else None,
    )


def check_rows(old: DataSet, n: int) -> np.ndarray:
    """Packed rows of the old data on which nothing was trained: validation rows where there are any, else test rows."""
    if old.n_validation:
        return old.validation_rows[measurement.subset(old.n_validation, n)]
    return measurement.test_subset(old, n)


def is_worse(loss: Loss, after: Evaluation, before: Evaluation) -> bool:
    """Of classes: fewer are right, and the loss is larger; of numbers: the loss is larger."""
    fewer = loss != Loss.cross_entropy or after.n_correct < before.n_correct
    return fewer and not after.loss <= before.loss
