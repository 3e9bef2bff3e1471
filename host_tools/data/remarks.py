# SPDX-License-Identifier: MIT
"""What a person should know of a data set before it trains: classes that are missing on one side, a single class, few
rows, heavy imbalance, what was divided and normalised."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data.number_labels import names_text

if TYPE_CHECKING:
    from ttzo.host_tools.data.data_set import DataSet

HEAVY = 0.9  # share of the largest class from which its share is worth a word
FEW_TEST_ROWS = 20


def of(data: "DataSet", plan: Plan, source: str, files: Mapping[str, str], is_new: bool) -> tuple[str, ...]:
    """Sentences about the rows of a person's own data set from the file `source`; `files` are those of its parts
    (validation, test) that have one of their own. `is_new`: its preparation was fitted just now."""
    made = [_parts(data, source, files)]
    if is_new:
        made += _normalised(data)
        made += [f"the classes {names_text(data.labels)} are numbered from 0 in this order"] if data.labels else []
    n = len(data.x_train)
    if 0 < n < plan.batch:
        made.append(
            f"{n} training rows are fewer than a batch of {plan.batch}: a step takes some of them more than once"
        )
    if 0 < len(data.x_test) < FEW_TEST_ROWS:
        made.append(f"only {len(data.x_test)} test row(s): what is measured on them says little")
    if data.anomalous is not None:
        made.append(f"{data.anomalous.sum():,} of {len(data.anomalous):,} test rows are anomalous")
    if data.y_train.ndim == 1:
        made += _classes(data, plan)
    return tuple(made)


def _parts(data: "DataSet", source: str, files: Mapping[str, str]) -> str:
    """How many rows of each file do what."""
    validation, test = files.get("validation", source), files.get("test", source)
    parts = (
        (source, "train", len(data.x_train)),
        (validation, "validate", data.n_validation),
        (test, "test", len(data.x_test)),
    )
    words: dict[str, list[str]] = {}
    for file, what, n in parts:
        if n:
            words.setdefault(file, []).append(f"{n:,} rows {what}")
    return "; ".join(f"{file}: {', '.join(counts)}" for file, counts in words.items())


def _normalised(data: "DataSet") -> list[str]:
    found = data.preparation
    if found is None or found.normalisation is None:
        return []
    what = "columns and targets are" if found.target_normalisation is not None else "columns are"
    return [f"{what} normalised by the training rows before they are sent; --normalise none leaves them as they are"]


def _classes(data: "DataSet", plan: Plan) -> list[str]:
    name = _namer(data)
    sides = {"training": data.y_train, "validation": data.y_validation, "test": data.y_test}
    found = {side: np.unique(y) for side, y in sides.items() if y is not None and len(y)}
    if not found:
        return []
    classes = np.unique(np.concatenate(list(found.values())))
    if len(classes) == 1:
        return [f"all rows have the class {name(classes[0])}: there is nothing to learn; check the target (--target)"]
    made = []
    for side, present in found.items():
        lacking = np.setdiff1d(classes, present)
        if len(lacking):
            made.append(f"no {side} row has the class {', '.join(map(name, lacking[:6]))}")
    return made + _imbalance(data.y_train, name)


def _imbalance(y: np.ndarray, name) -> list[str]:
    if not len(y):
        return []
    counts = np.bincount(y)
    share = counts.max() / len(y)
    if share < HEAVY:
        return []
    kind = name(int(counts.argmax()))
    return [
        f"{100 * share:.1f} % of the training rows have the class {kind}: a constant answer is right as often; look at the balanced accuracy"
    ]


def _namer(data: "DataSet"):
    labels = data.labels
    return lambda kind: f"`{labels[kind]}`" if labels else str(kind)
