# SPDX-License-Identifier: MIT
"""Rows that a trained model is to answer: the inputs of a file, its targets left out where it has any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import data_set, known_data, npz, read_rows
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.prepare_rows import Goal, Preparation, without_targets
from ttzo.host_tools.data.read_rows import Rows
from ttzo.host_tools.data.table import Table

ARRAYS = ("x", "x_test", "x_train")  # of an .npz file, the first that is there


@dataclass(frozen=True, eq=False)
class Questions:
    """x (n, in_features) in the plan's input number; `places`: what the n rows are called in their file; `preparation`:
    what names the classes and undoes the targets' normalisation; `notes`: sentences that a person should read.

    Of a table also: `kept`, n words for each column of the file that the model does not read (with an equation: for every
    column, a point's coordinates too), under its name, after the number of the row (of a window: its first row); `decimal`: the file's decimal sign."""

    x: np.ndarray
    places: list[str]
    preparation: Preparation | None = None
    notes: tuple[str, ...] = ()
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decimal: str = "."


def load(source: str, plan: Plan, options: DataOptions, known: Preparation | None) -> Questions:
    """The rows of `source`: a table, an .npz file or a known data set, whose test rows are taken. `known` is what was done
    to the rows that the model was trained on. Columns are found by the names that they had then, or, without names, by
    their number: all of them, or all except the last ones, which are targets. Raises `DataError`."""
    if known_data.is_known(source) or Path(source).is_dir():
        found = data_set.load(source, plan, options)
        return Questions(found.x_test, [f"test row {row}" for row in range(len(found.x_test))], found.preparation)
    path = Path(source)
    if not path.is_file() or path.suffix not in read_rows.ENDINGS:
        raise DataError(f"there is no data set `{source}`, or it is of an unknown kind", data_set.SOURCES)
    options = options.over(known.options.without_files()) if known else options
    goal = data_set.goal_of(plan, options, known)
    table = None if path.suffix == ".npz" else read_rows.read_table(path, options)
    columns = _inputs(table, options, goal, known) if table else []
    rows = _columns(table, columns, options) if table else _arrays(path)
    data_set.require_tokens(rows, plan)
    samples, first, notes = without_targets(rows, options, goal, known)
    if not len(first):
        raise DataError(f"{source} has fewer rows than a window of {options.window}", "give more rows")
    return Questions(
        data_set.input_numbers(source, samples, plan, notes),
        [rows.name_place(int(row)) for row in first],
        known,
        tuple(notes),
        _kept(table, [] if plan.pde is not None else columns, first) if table else {},
        table.decimal if table else ".",
    )


def _kept(table: Table, inputs: list[int], rows: np.ndarray) -> dict[str, list[str]]:
    """Number and further columns of these rows of a table, by which a person finds them again."""
    kept = {table.unit: [str(table.places[row]) for row in rows]}
    for column in range(len(table.names)):
        if column not in inputs:
            name = table.names[column] or f"column {column + 1}"
            kept[f"{name} (file)" if name in kept else name] = list(table.words(column)[rows])
    return kept


def _arrays(path: Path) -> Rows:
    try:
        arrays = npz.read(path, ARRAYS)
    except ValueError as error:
        raise DataError(f"{path} is not a readable .npz file ({error})", "write it again with numpy.savez") from error
    name = next((name for name in ARRAYS if name in arrays), None)
    if name is None or arrays[name].ndim == 0 or arrays[name].dtype.kind not in "buif" or not arrays[name].size:
        raise DataError(
            f"{path} holds no numbers called {' or '.join(ARRAYS)}", "write it with numpy.savez(path, x=rows)"
        )
    x = arrays[name].reshape(len(arrays[name]), -1)
    return Rows(
        source=str(path),
        x=x,
        y=np.zeros(len(x)),
        index=np.arange(len(x)),
        name_place=lambda row: f"{name}[{row}]",
        name_column=lambda k: f"number {k} of the row",
        shape=arrays[name].shape[1:],
    )


def _columns(table: Table, columns: list[int], options: DataOptions) -> Rows:
    recording = table.names.index(read_rows.RECORDING) if read_rows.RECORDING in table.names else None
    group = table.find(options.group, "group")[0] if options.group and options.group in table.names else None
    x, faults = table.cells(columns)
    return Rows(
        source=table.source,
        x=x,
        y=np.zeros(len(table)),
        index=np.arange(len(table)),
        name_place=table.place,
        name_column=lambda k: table.column_text(columns[k]),
        inputs=tuple(table.names[column] for column in columns),
        group=table.words(group) if group is not None else None,
        recording=table.words(recording) if recording is not None else None,
        notes=tuple(table.notes),
        faults=tuple(faults),
    )


def _inputs(table: Table, options: DataOptions, goal: Goal, known: Preparation | None) -> list[int]:
    """The columns of the inputs, in the model's order."""
    names = [name for name in (known.inputs if known else ()) if name]
    if names and any(table.names):
        missing = [name for name in names if name not in table.names]
        if missing:
            raise DataError(
                f"{table.source} has no column {', '.join(f'`{name}`' for name in missing)}, which the model was trained on",
                table.columns_text(),
            )
        return [table.names.index(name) for name in names]
    aside = {column for name in ("target", "ignore", "group") for column in _there(table, getattr(options, name))}
    if not aside and read_rows.is_index(table):
        aside.add(0)
    if table.ends_blank:
        aside.add(len(table.names) - 1)
    free = [column for column in range(len(table.names)) if column not in aside]
    wanted = goal.in_features // (options.window or 1)
    n_targets = goal.n_places or goal.n_outputs
    if len(free) not in (wanted, wanted + n_targets):
        raise DataError(
            f"{table.source} has {len(free)} numbers a row, the model needs {wanted}",
            f"{table.columns_text()}; leave columns out with --ignore COLUMN",
        )
    return free[:wanted]


def _there(table: Table, words: str | None) -> list[int]:
    """Columns of the names that are in the table, or of numbers: rows to answer need no target."""
    known = [word.strip() for word in (words or "").split(",") if word.strip()]
    named = [word for word in known if word in table.names]
    numbered = [int(word) - 1 for word in known if word not in table.names and word.isdigit()]
    return [*(table.names.index(word) for word in named), *(n for n in numbered if n < len(table.names))]
