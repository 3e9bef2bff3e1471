# SPDX-License-Identifier: MIT
"""A model's outputs as answers that a person reads: a class by its name and how probable it is, or numbers in the target's
own unit."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ttzo.exporter.plan.anomaly import Detection
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data.prepare_rows import Preparation
from ttzo.host_tools.training import detector


@dataclass(frozen=True)
class Predictions:
    """A table: `heading`, and one line for each row that was answered."""

    heading: tuple[str, ...]
    lines: tuple[tuple[str | float, ...], ...]

    def as_csv(self, kept: Mapping[str, Sequence[str]], decimal: str = ".") -> str:
        """The lines as a table in a file. `kept`: columns that take the place of the rows' names; one that is called like an
        answer has ` (file)` after its name. With a decimal comma there are semicolons between the cells."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", delimiter=";" if decimal == "," else ",")
        at = 1 if kept else 0
        taken = self.heading[at:]
        writer.writerow([*(f"{name} (file)" if name in taken else name for name in kept), *taken])
        for number, line in enumerate(self.lines):
            answers = (cell if isinstance(cell, str) else f"{cell:.9g}".replace(".", decimal) for cell in line[at:])
            writer.writerow([*(column[number] for column in kept.values()), *answers])
        return text.getvalue()


def of_outputs(plan: Plan, outputs: np.ndarray, places: Sequence[str], known: Preparation | None) -> Predictions:
    """Of outputs float32 (n, out_features). Of equal outputs the first class counts, as on the device."""
    if not plan.has_classes:
        undo = known.target_normalisation if known else None
        values = undo.undo(outputs.astype(float)) if undo else outputs.astype(float)
        heading = ("row", *_numbered("answer", plan.out_features))
        return Predictions(heading, tuple((p, *map(float, v)) for p, v in zip(places, values, strict=True)))
    scores = outputs.reshape(len(outputs), plan.n_places, -1).astype(float)
    if plan.n_classes == 2 and scores.shape[2] == 1:  # one logit; that of class 0 is 0
        scores = np.concatenate([np.zeros_like(scores), scores], axis=2)
    labels = (known.labels if known else None) or ()
    chosen = scores.argmax(2)
    names = [[labels[k] if k < len(labels) else str(k) for k in row] for row in chosen]
    if plan.n_places > 1:
        heading = ("row", *_numbered("place", plan.n_places))
        return Predictions(heading, tuple((p, *row) for p, row in zip(places, names, strict=True)))
    share = np.exp(scores - scores.max(2, keepdims=True))
    share = share.max(2) / share.sum(2)
    return Predictions(
        ("row", "class", "probability"),
        tuple((p, *name, *map(float, s)) for p, name, s in zip(places, names, share, strict=True)),
    )


def of_errors(found: np.ndarray, places: Sequence[str], limit: float | None, detection: Detection) -> Predictions:
    """Of the errors (n,) of rows of a signal, in their order. `limit`: the threshold; None: it is not known."""
    if limit is None:
        return Predictions(("row", "error"), tuple((p, float(e)) for p, e in zip(places, found, strict=True)))
    alarms = detector.alarms(found, limit, detection)
    return Predictions(
        ("row", "error", "anomalous", "alarm"),
        tuple(
            (p, float(e), "yes" if e > limit else "no", "yes" if a else "no")
            for p, e, a in zip(places, found, alarms, strict=True)
        ),
    )


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return (word,) if count == 1 else tuple(f"{word} {k + 1}" for k in range(count))
