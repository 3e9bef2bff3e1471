# SPDX-License-Identifier: MIT
"""What a model's answers are worth, beyond loss and accuracy: confusion, figures for each class, errors in the target's
own unit. Computed on the host from the outputs that the device gave."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.exporter.plan.anomaly import Detection, detection_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.untrusted_file import json_page, read_bytes
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.prepare_rows import Preparation
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.training import detector

NAME = "answers.json"
MOST_BYTES = 64 << 20  # of the file


@dataclass(frozen=True)
class ClassAnswers:
    """One class. recall: the share of its rows that were found; precision: of the rows that were taken for it, the share
    that are; None where there are no such rows."""

    name: str
    rows: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Detected:
    """Anomalies among test rows by the error with which the model gives each back. `auc`: how probable it is that an
    anomalous row has a larger error than a good one; None where there is only one kind. `threshold` by the errors of
    `threshold_rows` good rows, `rule` says how; an alarm takes `votes` of the last rows. `found` and `false_alarms`: shares of
    the `anomalous` and of the `good` rows with an alarm."""

    auc: float | None
    threshold: float
    rule: str
    votes: str
    threshold_rows: int
    good: int
    anomalous: int
    found: float | None
    false_alarms: float | None


@dataclass(frozen=True)
class Answers:
    """Of classes: `confusion[true][answered]` counts rows; `balanced_accuracy` is the mean recall of the classes that have
    rows; `detection`: of a model that finds anomalies; `auc`, of two classes, is the area under the receiver's operating characteristic of the second one. Of numbers:
    `rmse`, `r2` and `best_constant_rmse` of each output, in the target's own unit; `targets`: their columns' names, where they
    have any."""

    classes: tuple[ClassAnswers, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    balanced_accuracy: float | None = None
    auc: float | None = None
    targets: tuple[str, ...] = ()
    rmse: tuple[float, ...] = ()
    r2: tuple[float | None, ...] = ()
    best_constant_rmse: tuple[float, ...] = ()
    detection: Detected | None = None


def judge(plan: Plan, data: DataSet, outputs: np.ndarray, y: np.ndarray) -> Answers | None:
    """Answers of outputs float32 (n, out_features) to targets: classes (n,) or numbers (n, out_features). None where the
    model has an equation instead of rows, and for classes of the places of sequences."""
    if plan.pde is not None or not len(outputs):
        return None
    if plan.has_padding:
        return None
    if plan.has_classes:
        names = data.labels or tuple(map(str, range(plan.n_classes)))
        scores = np.hstack([np.zeros_like(outputs), outputs]) if plan.out_features == 1 else outputs
        return of_classes(scores.astype(float), y, (*names, *map(str, range(len(names), plan.n_classes))))
    done = data.preparation or Preparation()
    found, wanted = outputs.astype(float), y.astype(float)
    if undo := done.target_normalisation:
        found, wanted = undo.undo(found), undo.undo(wanted)
    return replace(of_numbers(found, wanted), targets=done.targets)


def of_errors(plan: Plan, of_good: np.ndarray, found: np.ndarray, anomalous: np.ndarray) -> Answers:
    """Of the errors of good rows (m,), which give the threshold, and of test rows (n,) in their order, of which
    `anomalous` (n,) are 1."""
    detection = detection_of_plan(plan)
    limit, is_anomalous = detector.threshold(of_good, detection), anomalous == 1
    alarms = detector.alarms(found, limit, detection)
    n = int(is_anomalous.sum())
    made = Detected(
        auc=auc(found, is_anomalous),
        threshold=limit,
        rule=detection.threshold_text,
        votes=f"{detection.votes}/{detection.of}",
        threshold_rows=len(of_good),
        good=len(found) - n,
        anomalous=n,
        found=_ratio(alarms[is_anomalous].sum(), n),
        false_alarms=_ratio(alarms[~is_anomalous].sum(), len(found) - n),
    )
    return Answers(detection=made)


def detection_of_plan(plan: Plan) -> Detection:
    """How the plan was exported to find anomalies."""
    page = plan.metadata.get("detection") or {}
    return detection_of(page.get("threshold"), page.get("votes"))


def of_classes(outputs: np.ndarray, y: np.ndarray, names: tuple[str, ...]) -> Answers:
    """outputs (n, k), y int64 (n,); of equal outputs the first counts, as on the device."""
    k = outputs.shape[1]
    confusion = np.zeros((k, k), int)
    np.add.at(confusion, (y, outputs.argmax(1)), 1)
    rows, taken, right = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    classes = tuple(
        ClassAnswers(names[c], int(rows[c]), _ratio(right[c], rows[c]), _ratio(right[c], taken[c])) for c in range(k)
    )
    recalls = [each.recall for each in classes if each.recall is not None]
    return Answers(
        classes=classes,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        balanced_accuracy=float(np.mean(recalls)),
        auc=auc(outputs[:, 1] - outputs[:, 0], y == 1) if k == 2 else None,
    )


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def auc(scores: np.ndarray, is_positive: np.ndarray) -> float | None:
    """How probable it is that a positive row scores higher than a negative one, equal scores counting half (n,), (n,).
    None where one kind has no rows."""
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    if not n_positive or not n_negative:
        return None
    _, kind, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # mean rank of equal scores, from 1
    above = ranks[kind][is_positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def of_numbers(outputs: np.ndarray, y: np.ndarray) -> Answers:
    """outputs and y (n, k)."""
    error, spread = ((outputs - y) ** 2).mean(0), y.var(0)
    r2 = tuple(float(1 - e / s) if s > 0 else None for e, s in zip(error, spread, strict=True))
    return Answers(rmse=tuple(map(float, np.sqrt(error))), r2=r2, best_constant_rmse=tuple(map(float, np.sqrt(spread))))


# ---- the run's folder ------------------------------------------------------------------------------------------------


def save(folder: Path, page: dict[str, Any]) -> None:
    """Keeps the answers of a run for its report. Raises `OSError`."""
    write_atomically(folder / NAME, (json.dumps(page, indent=1) + "\n").encode())


def load(folder: Path) -> dict[str, Any] | None:
    """What `save` has written; None where there is nothing, or nothing readable: a picture is drawn without it then."""
    try:
        page = json_page(read_bytes(folder / NAME, MOST_BYTES))
    except (OSError, ValueError):
        return None
    return page if isinstance(page, dict) else None
