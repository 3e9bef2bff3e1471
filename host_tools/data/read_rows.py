# SPDX-License-Identifier: MIT
"""Rows out of a person's own file: which columns are inputs, which the target, which the group."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.host_tools.data import npz, read_frame, read_text
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.faults import Fault
from ttzo.host_tools.data.table import Table

ARRAYS = {"train": ("x_train", "y_train"), "validation": ("x_validation", "y_validation"), "test": ("x_test", "y_test")}
TEXT = (".csv", ".tsv", ".txt")
ENDINGS = (".npz", ".npy", ".parquet", *TEXT)
RECORDING = "recording"  # a column of this name numbers recordings, as `ttzo record` writes them; it is no input
_INDEX_NAMES = ("", "Unnamed: 0", "index")  # under which pandas writes the rows' numbers


@dataclass(frozen=True)
class Wanted:
    """What a model asks of a table: numbers of an input row (of a window: channels), and targets; with `has_classes` the
    one target is a class. `inputs`: the columns' names of an earlier table, in the model's order, where known."""

    n_targets: int
    has_classes: bool
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Rows:
    """n rows of one file. x (n, k) real numbers, NaN where one is missing; y: classes as words or numbers (n,), "" or NaN
    where missing, or targets float (n, t). `shape`: of one row, where the file says it. `targets`: names of the columns
    that are learnt. `group`, `recording` (n,) words. `index` (n,) counts the rows of the file; `place(row)` is what row
    number `row` of these is called. `faults`: words that stand where numbers are wanted."""

    source: str
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    name_place: Callable[[int], str]
    name_column: Callable[[int], str]
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    group: np.ndarray | None = None
    recording: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def place(self, row: int) -> str:
        return self.name_place(int(self.index[row]))

    def take(self, rows: np.ndarray) -> "Rows":
        """Those rows, by a mask or by numbers."""
        optional = {name: value[rows] for name in ("group", "recording") if (value := getattr(self, name)) is not None}
        return dataclasses.replace(self, x=self.x[rows], y=self.y[rows], index=self.index[rows], **optional)


def read(path: Path, options: DataOptions, wanted: Wanted) -> dict[str, Rows]:
    """The rows of a file by part: `train`, and of an .npz file `validation` and `test` where it holds them. Raises
    `DataError`, with the next step, when it is missing, damaged or holds other columns."""
    if not path.is_file():
        raise DataError(f"there is no file {path}", f"name a file that ends in {', '.join(ENDINGS)}")
    if path.suffix == ".npz":
        return _read_npz(path, options)
    return {"train": rows_of_table(read_table(path, options), options, wanted)}


def read_table(path: Path, options: DataOptions) -> Table:
    """The table in a file. Raises `DataError`."""
    if path.suffix in TEXT:
        return read_text.read(path, options.heading)
    if path.suffix == ".npy":
        return read_frame.read_npy(path)
    if path.suffix == ".parquet":
        return read_frame.read_parquet(path)
    raise DataError(f"{path} is of an unknown kind", f"name a file that ends in {', '.join(ENDINGS)}")


# ---- tables ----------------------------------------------------------------------------------------------------------


def rows_of_table(table: Table, options: DataOptions, wanted: Wanted) -> Rows:
    """The rows of a table; its target is in the last column(s) unless `options` name it."""
    notes = list(table.notes)
    ignored = table.find(options.ignore, "ignore") if options.ignore else []
    group = table.find(options.group, "group")[0] if options.group else None
    recording = table.names.index(RECORDING) if RECORDING in table.names else None
    aside = {*ignored, *(column for column in (group, recording) if column is not None)}
    if not aside and is_index(table):
        aside.add(0)
        notes.append(f"{table.source}: the first column numbers the rows; it is left out")
    if table.ends_blank:
        aside.add(len(table.names) - 1)
        notes.append(f"{table.source}: the last column is empty; it is left out")
    free = [column for column in range(len(table.names)) if column not in aside]
    targets = table.find(options.target, "target") if options.target else free[-wanted.n_targets :]
    if len(targets) != wanted.n_targets:
        raise DataError(
            f"{len(targets)} target columns are named, the model learns {wanted.n_targets}",
            "name as many with --target as the model has outputs" if not wanted.has_classes else "name one: --target",
        )
    inputs = _inputs(table, [column for column in free if column not in targets], wanted)
    if not inputs:
        raise DataError(
            f"{table.source} has {len(table.names)} columns, which leaves none for the inputs",
            f"{table.columns_text()}; inputs and {wanted.n_targets} target column(s) are needed",
        )
    x, faults = table.cells(inputs)
    y, of_targets = (table.words(targets[0]), []) if wanted.has_classes else table.cells(targets)
    return Rows(
        source=table.source,
        x=x,
        y=y,
        index=np.arange(len(table)),
        name_place=table.place,
        name_column=lambda k: table.column_text(inputs[k]),
        inputs=tuple(table.names[column] for column in inputs),
        targets=tuple(table.names[column] for column in targets),
        group=table.words(group) if group is not None else None,
        recording=table.words(recording) if recording is not None else None,
        notes=tuple(notes),
        faults=(*faults, *of_targets),
    )


def is_index(table: Table) -> bool:
    """Whether the first column counts the rows from 0 under a name that pandas gives it, and the others have names."""
    if len(table.names) < 3 or table.names[0] not in _INDEX_NAMES or not any(table.names[1:]):
        return False
    try:
        return bool((table.numbers([0])[:, 0] == np.arange(len(table))).all())
    except DataError:
        return False


def _inputs(table: Table, columns: list[int], wanted: Wanted) -> list[int]:
    """The input columns: as an earlier table named them, in the same order, where both have names."""
    known = [name for name in wanted.inputs if name]
    if not known or not any(table.names):
        return columns
    at = {table.names[column]: column for column in columns}
    missing = [name for name in known if name not in at]
    if missing:
        raise DataError(
            f"{table.source} has no column {', '.join(f'`{name}`' for name in missing)}, which the model was trained on",
            f"{table.columns_text()}; give it the columns {', '.join(known[:12])}",
        )
    return [at[name] for name in known]


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _read_npz(path: Path, options: DataOptions) -> dict[str, Rows]:
    names = [name for pair in ARRAYS.values() for name in pair]
    wanted = [*names, options.group] if options.group else names
    try:
        arrays = npz.read(path, wanted)
    except ValueError as error:
        raise DataError(f"{path} is not a readable .npz file ({error})", "write it again with numpy.savez") from error
    pairs = {part: pair for part, pair in ARRAYS.items() if any(name in arrays for name in pair)}
    if "train" not in pairs or any(name not in arrays for pair in pairs.values() for name in pair):
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'no known array'}",
            f"it should hold x_train, y_train and, if you have them, {', '.join(names[2:])}",
        )
    if any(array.ndim == 0 for array in arrays.values()):
        raise DataError(
            f"{path} holds a single number where rows are expected", "the first axis of each array counts the rows"
        )
    group = _group(path, arrays, options)
    return {
        part: _rows_of_arrays(str(path), pair, (arrays[pair[0]], arrays[pair[1]]), group if part == "train" else None)
        for part, pair in pairs.items()
    }


def _group(path: Path, arrays: dict[str, np.ndarray], options: DataOptions) -> np.ndarray | None:
    if not options.group:
        return None
    if options.group not in arrays or len(arrays[options.group]) != len(arrays["x_train"]):
        raise DataError(
            f"{path} has no array `{options.group}` of as many entries as x_train", "add one, or leave out --group"
        )
    return arrays[options.group].astype(str).astype(object)


def _rows_of_arrays(
    source: str, names: Sequence[str], pair: tuple[np.ndarray, np.ndarray], group: np.ndarray | None
) -> Rows:
    x, y = pair
    for name, array in zip(names, pair, strict=True):
        if not len(array):
            raise DataError(f"{source}: {name} is empty", "training and test both need at least one row")
    if x.dtype.kind not in "buif":
        raise DataError(f"{source}: {names[0]} holds {x.dtype} instead of numbers", "convert it to numbers first")
    if y.dtype.kind not in "buifU":
        raise DataError(f"{source}: {names[1]} holds {y.dtype} instead of numbers", "convert it to numbers first")
    if len(x) != len(y):
        raise DataError(
            f"{source}: {names[1]} has {len(y)} rows, its inputs have {len(x)}", "each row needs its target"
        )
    return Rows(
        source=source,
        x=x.reshape(len(x), -1),
        y=y.astype(object) if y.dtype.kind == "U" else y,
        index=np.arange(len(x)),
        name_place=lambda row: f"{names[0]}[{row}]",
        name_column=lambda k: f"number {k} of the row",
        group=group,
        shape=x.shape[1:],
    )
