# SPDX-License-Identifier: MIT
"""A model's outputs as answers that a person reads: a class by its name and how probable it is, or numbers in the target's
own unit."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data.prepare_rows import Preparation


@dataclass(frozen=True)
class Predictions:
    """A table: `heading`, and one line for each row that was answered."""

    heading: tuple[str, ...]
    lines: tuple[tuple[str | float, ...], ...]

    def as_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.heading, *([_cell(cell) for cell in line] for line in self.lines)])
        return text.getvalue()


def _cell(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:.9g}"


def of_outputs(plan: Plan, outputs: np.ndarray, places: Sequence[str], known: Preparation | None) -> Predictions:
    """Of outputs float32 (n, out_features). Of equal outputs the first class counts, as on the device."""
    if plan.loss != Loss.cross_entropy:
        undo = known.target_normalisation if known else None
        values = undo.undo(outputs.astype(float)) if undo else outputs.astype(float)
        names = ("answer",) if plan.out_features == 1 else tuple(f"answer {k + 1}" for k in range(plan.out_features))
        return Predictions(("row", *names), tuple((p, *map(float, v)) for p, v in zip(places, values, strict=True)))
    labels = (known.labels if known else None) or ()
    chosen = outputs.argmax(1)
    names = tuple(labels[k] if k < len(labels) else str(k) for k in chosen)
    shifted = np.exp(outputs.astype(float) - outputs.max(1, keepdims=True))
    share = (shifted.max(1) / shifted.sum(1)).tolist()
    return Predictions(("row", "class", "probability"), tuple(zip(places, names, share, strict=True)))
