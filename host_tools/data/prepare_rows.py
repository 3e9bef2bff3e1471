# SPDX-License-Identifier: MIT
"""From rows of a person's file to samples of a model: missing numbers, class numbers, parts, windows, normalisation.

What is fitted on the training rows of the first file (names of classes, means, normalisation) is a `Preparation`. It is
kept with the model or with the run, so that all later rows get the same treatment.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.host_tools.data import cut_windows, faults, good_rows, normalise, number_labels, split_rows
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import TEST_SHARE, VALIDATION_SHARE, DataOptions
from ttzo.host_tools.data.normalise import Normalisation
from ttzo.host_tools.data.read_rows import Rows
from ttzo.host_tools.data.split_rows import Part

SEGMENT_WINDOWS = 10  # a stretch of one class that is so many windows long is divided by itself


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows of a data set become samples.

    source: the file that it was fitted on. labels: the classes' names by number; None where the data hold the numbers themselves. inputs: names of the input
    columns, targets: of those that are learnt. fill: what takes the place of missing numbers, one for each column. normalisation: of the columns (of a
    window: the channels); target_normalisation: of the targets of `mse`.
    """

    source: str = ""
    options: DataOptions = DataOptions()
    labels: tuple[str, ...] | None = None
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    fill: np.ndarray | None = None
    normalisation: Normalisation | None = None
    target_normalisation: Normalisation | None = None

    def as_json(self) -> dict[str, Any]:
        page: dict[str, Any] = {"source": self.source, "options": self.options.as_json()}
        if self.labels is not None:
            page["labels"] = list(self.labels)
        for name in ("inputs", "targets"):
            if any(names := getattr(self, name)):
                page[name] = list(names)
        if self.fill is not None:
            page["fill"] = self.fill.tolist()
        for name in ("normalisation", "target_normalisation"):
            if (value := getattr(self, name)) is not None:
                page[name] = value.as_json()
        return page

    @classmethod
    def from_json(cls, page: Any) -> "Preparation":
        """The inverse of `as_json`. Raises `DataError` for a damaged page."""
        try:
            return cls._from_json(page)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError("the recorded treatment of the data is damaged", "train again with --restart") from error

    @classmethod
    def _from_json(cls, page: Any) -> "Preparation":
        normalisations = {
            name: Normalisation.from_json(page[name])
            for name in ("normalisation", "target_normalisation")
            if name in page
        }
        return cls(
            source=str(page.get("source", "")),
            options=DataOptions.from_json(page["options"]),
            labels=tuple(map(str, page["labels"])) if "labels" in page else None,
            inputs=tuple(map(str, page.get("inputs", ()))),
            targets=tuple(map(str, page.get("targets", ()))),
            fill=np.array(page["fill"], float) if "fill" in page else None,
            **normalisations,
        )


@dataclass(frozen=True)
class Goal:
    """What the samples are for: numbers of a sample, its shape (of one axis: the model does not say it), outputs (of classes: how many there are), classes that a target names
    (1, or one for each place of a sequence, some of which may be NO_CLASS; 0 where it holds numbers), and how columns are
    normalised (None: not at all)."""

    in_features: int
    n_outputs: int
    n_places: int
    normalise: str | None
    shape: tuple[int, ...] = ()
    finds_anomalies: bool = False  # the target is 1 where a row is anomalous; such rows do not train

    @property
    def has_classes(self) -> bool:
        """Whether the target is one class."""
        return self.n_places == 1


@dataclass(frozen=True, eq=False)
class Samples:
    """x (n, in_features) without NaN, y int64 (n,) or float (n, outputs). `normalised`: x is what the network shall see,
    after the device's scale and offset."""

    x: np.ndarray
    y: np.ndarray
    normalised: bool = False


def prepare(
    source: str,
    pieces: dict[str, Rows],
    options: DataOptions,
    goal: Goal,
    known: Preparation | None,
    trains: bool = True,
) -> tuple[dict[str, Samples], Preparation, list[str]]:
    """Samples by part, the preparation in force (`known`, or fitted here), and what is to be said. `pieces` are rows by
    part; what is missing of validation and test comes out of `train`. `trains`: the model learns these rows, and where
    `known` has no names for the classes theirs are taken. Raises `DataError`."""
    notes = [note for rows in pieces.values() for note in rows.notes]
    pieces = {part: _complete(part, rows, options, goal, notes) for part, rows in pieces.items()}
    window = options.window or 1
    for rows in pieces.values():
        _check_width(rows, goal, window)
    labels = known.labels if known and (known.labels or not trains) else _labels(pieces, goal)
    targets = {part: _targets(rows, labels, goal, options) for part, rows in pieces.items()}
    divided = _divide(pieces, targets, options, goal, notes)
    if goal.finds_anomalies:
        divided = _good_alone(divided, notes)
    made = replace(known, labels=labels) if known else _fit(source, divided, options, goal, labels, pieces)
    samples = {part: _samples(*divided[part], made, options, goal) for part in divided}
    for part, found in samples.items():
        if not len(found.x) and len(divided[part][0]):
            notes.append(
                f"{source}: no window of {options.window} rows fits into a recording's {part} rows: give longer recordings, a "
                "shorter --window, or divide by --group"
            )
    return samples, made, notes


def without_targets(
    rows: Rows, options: DataOptions, goal: Goal, known: Preparation | None
) -> tuple[Samples, np.ndarray, list[str]]:
    """Samples of rows that are to be answered, under the preparation that the model was trained with; the file's row that
    each is made of, int64 (n,) as `Rows.index` counts them (of a window: its first), and what is to be said. Raises `DataError`."""
    notes = list(rows.notes)
    rows = _complete("answers", rows, options, goal, notes)
    _check_width(rows, goal, options.window or 1)
    nothing = np.zeros(len(rows), np.int64) if goal.n_places else np.zeros((len(rows), goal.n_outputs))
    samples = _samples(rows, nothing, known or Preparation(), options, goal)
    first = np.arange(len(rows))
    if options.window:
        segments = cut_windows.segments_of(*_boundaries(rows))
        first = cut_windows.starts(segments, options.window, options.hop or options.window)
    return samples, rows.index[first], notes


# ---- missing numbers -------------------------------------------------------------------------------------------------


def _complete(part: str, rows: Rows, options: DataOptions, goal: Goal, notes: list[str]) -> Rows:
    """The rows without those that lack a target or, with `drop`, a number."""
    how = options.missing or "refuse"
    lacks_target = _lacking(rows.y)
    lacks = np.isnan(rows.x) if rows.x.dtype.kind == "f" else np.zeros(rows.x.shape, bool)
    found = [*rows.faults, *faults.infinite(rows.x, rows.y, rows.place, rows.name_column)]
    if how == "refuse":
        found += faults.missing(lacks, lacks_target, rows.place, rows.name_column)
    if found:
        raise faults.error(rows.source, found)
    if how == "mean" and lacks.any():
        notes.append(
            f"{rows.source}: {lacks.sum():,} of {lacks.size:,} numbers were missing; the mean of the training rows takes their "
            f"place ({faults.by_column(lacks.sum(0), rows.name_column)})"
        )
    drop = lacks_target | lacks.any(1) if how == "drop" else lacks_target
    if drop.any():
        notes.append(f"{rows.source}: {drop.sum()} of {len(rows)} rows were left out, they lack a number or the target")
        rows = rows.take(~drop)
    if not len(rows):
        raise DataError(f"{rows.source}: no row is left for {part}", "fill the missing numbers: --missing mean")
    return rows


def _lacking(y: np.ndarray) -> np.ndarray:
    """bool (n,): rows whose target is missing."""
    if y.dtype.kind == "O":
        return np.array([not word for word in y], bool)
    if y.dtype.kind != "f":
        return np.zeros(len(y), bool)
    return np.isnan(y.reshape(len(y), -1)).any(1)


# ---- inputs and targets ----------------------------------------------------------------------------------------------


def _check_width(rows: Rows, goal: Goal, window: int) -> None:
    found = rows.x.shape[1] * window
    if found == goal.in_features:
        return _check_shape(rows, goal) if window == 1 else None
    if window > 1:
        what = f"{rows.source}: {rows.x.shape[1]} columns in windows of {window} rows are {found} numbers"
    else:
        what = f"{rows.source} has {found} numbers a row"
    names = ", ".join(name for name in rows.inputs if name)
    hint = "leave columns out with --ignore COLUMN, or name the target with --target COLUMN" if names else ""
    inputs = f"its inputs are {names}; " if names and len(names) < 200 else ""
    raise DataError(
        f"{what}, the model needs {goal.in_features}",
        f"{inputs}{hint or 'choose other data'}; or export a model of that size",
    )


def _check_shape(rows: Rows, goal: Goal) -> None:
    """Rows of several axes, and a model of rows of several axes, have the same; axes of length 1 do not count. Swapped ones
    would be as many numbers in a wrong order."""
    theirs, mine = ([size for size in shape if size != 1] for shape in (rows.shape, goal.shape))
    if len(theirs) < 2 or len(mine) < 2 or theirs == mine:
        return
    given, needed = (" x ".join(map(str, shape)) for shape in (rows.shape, goal.shape))
    swap = (
        "swap the axes of the array, as numpy.moveaxis does" if sorted(theirs) == sorted(mine) else "reshape the array"
    )
    raise DataError(
        f"{rows.source}: a row has the shape {given}, the model's rows have {needed}",
        f"{swap}; or export with --input-shape {','.join(map(str, rows.shape))} if the model takes such rows",
    )


def _labels(pieces: dict[str, Rows], goal: Goal) -> tuple[str, ...] | None:
    """The classes' names, of the classes in all rows."""
    if not goal.has_classes or goal.finds_anomalies:
        return None
    found = [_flat(rows) for rows in pieces.values()]
    together = np.concatenate([values.astype(object) for values in found]) if len(found) > 1 else found[0]
    if together.dtype == object and not any(isinstance(value, str) for value in together):
        together = together.astype(float)
    return number_labels.names_of(pieces["train"].source, together, goal.n_outputs)


def _flat(rows: Rows) -> np.ndarray:
    """Classes (n,)."""
    flat = rows.y.reshape(len(rows), -1)
    if flat.shape[1] != 1:
        raise DataError(
            f"{rows.source}: the targets have {flat.shape[1]} numbers a row, the model needs 1",
            "check the shape of the targets",
        )
    return flat[:, 0]


def _targets(rows: Rows, labels: tuple[str, ...] | None, goal: Goal, options: DataOptions) -> np.ndarray:
    """int64 (n,) classes, of sequences (n, places), or float64 (n, outputs)."""
    if goal.finds_anomalies:
        return good_rows.anomalous(rows.source, _flat(rows), options.good)
    if goal.n_places > 1:
        return _place_classes(rows, goal)
    if goal.has_classes:
        return number_labels.number(rows.source, _flat(rows), labels, goal.n_outputs, rows.place)
    if rows.y.dtype.kind == "O":
        raise DataError(
            f"{rows.source}: the targets are words, the model learns numbers", "export with --loss cross_entropy"
        )
    y = rows.y.reshape(len(rows), -1).astype(float)
    if y.shape[1] != goal.n_outputs:
        raise DataError(
            f"{rows.source}: the targets have {y.shape[1]} numbers a row, the model needs {goal.n_outputs}",
            "check the shape of the targets",
        )
    return y


def _place_classes(rows: Rows, goal: Goal) -> np.ndarray:
    """int64 (n, places) classes and NO_CLASS."""
    y = rows.y.reshape(len(rows), -1)
    if y.shape[1] != goal.n_places:
        raise DataError(
            f"{rows.source}: the targets have {y.shape[1]} numbers a row, the model needs a class for each of {goal.n_places} places",
            f"fill short sequences up with {NO_CLASS}, the class that does not count",
        )
    if y.dtype.kind not in "biuf":
        raise DataError(f"{rows.source}: the classes of places are words", "number them from 0")
    unknown = (y != NO_CLASS) & ((y < 0) | (y >= goal.n_outputs) | (y != np.floor(y)))
    if unknown.any():
        row, place = map(int, np.argwhere(unknown)[0])
        raise DataError(
            f"{rows.source}: {rows.place(row)} has the class {y[row, place]:g}, the model knows 0 to {goal.n_outputs - 1}",
            f"correct it; {NO_CLASS} stands at places that do not count",
        )
    return y.astype(np.int64)


# ---- parts -----------------------------------------------------------------------------------------------------------

Divided = dict[str, tuple[Rows, np.ndarray]]


def _divide(
    pieces: dict[str, Rows], targets: dict[str, np.ndarray], options: DataOptions, goal: Goal, notes: list[str]
) -> Divided:
    """Rows and targets of each part; validation and test come out of `train` where they have no rows of their own."""
    made = {part: (pieces[part], targets[part]) for part in pieces}
    if "train" not in pieces:
        return made
    shares = _shares(pieces, options)
    if not any(shares):
        return made
    rows, y = made["train"]
    parts = _parts(rows, y if goal.has_classes else None, shares, options)
    for part in Part:
        chosen = parts == part
        if part.name == "train" or part.name not in pieces and chosen.any():
            made[part.name] = (rows.take(chosen), y[chosen])
    if not len(made["train"][0]):
        raise DataError(f"{rows.source}: no row is left to train on", "give more rows, or --validation 0")
    return made


def _good_alone(divided: Divided, notes: list[str]) -> Divided:
    """Training and validation without anomalous rows."""
    made = dict(divided)
    for part in ("train", "validation"):
        if part in made:
            rows, y = made[part]
            made[part] = (rows.take(y == 0), y[y == 0])
            if n := int((y != 0).sum()):
                notes.append(f"{rows.source}: {n} anomalous rows were left out of {part}, which wants good ones")
    return made


def _shares(pieces: dict[str, Rows], options: DataOptions) -> tuple[float, float]:
    """The shares of the training file's rows that validate and test."""
    validation, test = (options.share(part) for part in ("validation", "test"))
    return (
        0.0 if "validation" in pieces else VALIDATION_SHARE if validation is None else validation,
        0.0 if "test" in pieces else TEST_SHARE if test is None else test,
    )


def _parts(rows: Rows, classes: np.ndarray | None, shares: tuple[float, float], options: DataOptions) -> np.ndarray:
    seed = options.split_seed or 0
    if rows.group is not None:
        return split_rows.split_groups(rows.group, shares, seed, classes, options.group or "group")
    if not options.window:
        return split_rows.split(len(rows), shares, seed, classes)
    recordings = cut_windows.segments_of(*_boundaries(rows))
    if classes is not None:
        stretches = cut_windows.segments_of(recordings, classes)
        if np.median(np.bincount(stretches)) >= SEGMENT_WINDOWS * options.window:
            return split_rows.split_in_time(stretches, shares)
    return split_rows.split_in_time(recordings, shares)


def _boundaries(rows: Rows) -> list[np.ndarray]:
    """Arrays (n,) that change where one row does not follow the other: another group or recording, rows left out."""
    gaps = rows.index - np.arange(len(rows))
    return [gaps, *(values for values in (rows.group, rows.recording) if values is not None)]


# ---- fitting and applying --------------------------------------------------------------------------------------------


def _fit(
    source: str,
    divided: Divided,
    options: DataOptions,
    goal: Goal,
    labels: tuple[str, ...] | None,
    pieces: dict[str, Rows],
) -> Preparation:
    """What is fitted on the training rows."""
    rows, y = divided["train"]
    fill = None
    if options.missing == "mean":
        seen = ~np.isnan(rows.x.astype(float))
        if not seen.any(0).all():
            column = rows.name_column(int(np.argmin(seen.any(0))))
            raise DataError(f"{rows.source}: {column} has no number in any training row", "leave it out with --ignore")
        fill = np.nanmean(rows.x.astype(float), axis=0)
    found, of_targets = None, None
    if goal.normalise:
        found = normalise.fit(_filled(rows.x, fill), goal.normalise)
        of_targets = None if goal.n_places else normalise.fit(y, goal.normalise)
    names, learnt = pieces["train"].inputs, () if goal.n_places else pieces["train"].targets
    return Preparation(source, options, labels, names, learnt, fill, found, of_targets)


def _filled(x: np.ndarray, fill: np.ndarray | None) -> np.ndarray:
    return x if fill is None else np.where(np.isnan(x.astype(float)), fill, x)


def _samples(rows: Rows, y: np.ndarray, made: Preparation, options: DataOptions, goal: Goal) -> Samples:
    if options.missing == "mean" and made.fill is None:
        raise DataError(
            "the model was trained without means for missing numbers", "leave such rows out: --missing drop"
        )
    x = _filled(rows.x, made.fill)
    if made.normalisation is not None:
        x = made.normalisation.apply(x)
    if made.target_normalisation is not None:
        y = made.target_normalisation.apply(y)
    normalised = made.normalisation is not None
    if not options.window:
        return Samples(x, y, normalised)
    segments = cut_windows.segments_of(*_boundaries(rows))
    first = cut_windows.starts(segments, options.window, options.hop or options.window)
    default = "any" if goal.finds_anomalies else "majority"
    rule = (options.window_label or default) if goal.has_classes else "last"  # of places: those of the last row
    return Samples(
        cut_windows.cut(x, first, options.window), cut_windows.label(y, first, options.window, rule), normalised
    )
