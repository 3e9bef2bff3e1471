# SPDX-License-Identifier: MIT
"""Training data as a plan wants them: raw rows, checked once at the door, packed as they travel.

A row on the line is the raw inputs (uint8, int16 or float32, little-endian), then the target: a u16 class for
cross-entropy, `out_features` float32 for mse. Scale and offset are applied on the device.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Loss, Number
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import mnist, npz, solution_points, unicode_names
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.reference.network import sparse_rows

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
DTYPES = {Number.uint8: "<u1", Number.int16: "<i2", Number.float32: "<f4"}
HOLD_OUT = 5  # of a set without test rows, every fifth row is kept for the test
SOURCES = "name `digits`, `names` or `mnist`, a folder with MNIST's IDX files, a .npz or a .csv file: --data SOURCE"


@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows for one plan: x (n, in_features) in the plan's input number; y int64 classes (n,), or float32
    (n, out_features) targets."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @cached_property
    def train_rows(self) -> np.ndarray:
        """uint8 (n, Plan.row_bytes): the training rows as they travel."""
        return pack_rows(self.x_train, self.y_train)

    @cached_property
    def sparse_rows(self) -> bytes:
        """The training rows without their zeros: the bytes of a device's region sparse."""
        return sparse_rows.pack(self.train_rows, self.x_train.shape[1], self.x_train.dtype.itemsize)

    @cached_property
    def test_rows(self) -> np.ndarray:
        return pack_rows(self.x_test, self.y_test)

    @cached_property
    def checksum(self) -> int:
        """CRC-32 of the packed training rows: what a checkpoint remembers."""
        return zlib.crc32(self.train_rows.tobytes())


def pack_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint8 (n, row_bytes) of checked inputs (n, in_features) and targets."""
    inputs = np.ascontiguousarray(x).view(np.uint8)
    targets = y.astype("<u2").reshape(-1, 1) if y.ndim == 1 else np.ascontiguousarray(y, "<f4")
    return np.hstack([inputs, targets.view(np.uint8)])


def load(source: str | Path | None, plan: Plan) -> DataSet:
    """The data set `source` (default: the one the plan was exported for) for `plan`. Raises `DataError`, with the next
    step, when it is missing, damaged, empty or does not fit the plan."""
    if plan.pde is not None:
        return _points(source, plan)
    source = str(source or plan.metadata.get("data") or "")
    if not source:
        raise DataError("the bundle names no data set", SOURCES)
    arrays = _read(source, plan)
    for name, array in zip(ARRAYS, arrays, strict=False):
        if not len(array):
            raise DataError(f"{source}: {name} is empty", "training and test both need at least one row")
    x, y = _checked(source, ARRAYS[:2], arrays[:2], plan)
    if len(arrays) == 4:
        return DataSet(source, x, y, *_checked(source, ARRAYS[2:], arrays[2:], plan))
    if len(x) == 1:
        raise DataError(f"{source} has a single row", "training and test both need at least one row")
    return DataSet(source, *_split(x, y))


def _points(source: str | Path | None, plan: Plan) -> DataSet:
    """A PDE trains on points of its own; what there is to test on: `source`, or where the solution is known."""
    none = np.zeros((0, plan.in_features), np.float32), np.zeros((0, 1), np.float32)
    if source is None:
        return DataSet("collocation points", *none, *solution_points.validation(plan))
    arrays = _read(str(source), plan)[-2:]
    return DataSet(str(source), *none, *_checked(str(source), ARRAYS[:2], arrays, plan))


def _checked(source: str, names: tuple[str, ...], pair: tuple[np.ndarray, ...], plan: Plan) -> tuple[np.ndarray, ...]:
    """Inputs and targets as the plan wants them."""
    (x_name, y_name), (x, y) = names, pair
    return _inputs(f"{source}: {x_name}", x, plan), _targets(f"{source}: {y_name}", y, len(x), plan)


# ---- where data come from --------------------------------------------------------------------------------------------


def _read(source: str, plan: Plan) -> tuple[np.ndarray, ...]:
    """The arrays of `ARRAYS`, all four or the first two, as they stand there."""
    if source == "digits":
        return digits()
    if source == "names":
        tokens, kinds, _ = unicode_names.rows()
        return _split(tokens, kinds, by=np.argsort(kinds, kind="stable"))
    if source == "mnist":
        return mnist.read_folder(mnist.download())
    path = Path(source)
    if path.is_dir():
        return mnist.read_folder(path)
    if not path.is_file():
        raise DataError(f"there is no data set `{source}`", SOURCES)
    if path.suffix == ".npz":
        return _npz(path)
    if path.suffix == ".csv":
        return _csv(path, plan)
    raise DataError(f"{path} is neither .npz nor .csv", SOURCES)


def digits() -> tuple[np.ndarray, ...]:
    """scikit-learn's 8x8 digits, grey values 0 to 16. Rows sorted by class, every fifth is a test row: 1437 + 360,
    each class in proportion, the same with every version of scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "the data set `digits` comes from scikit-learn, which is not installed", "pip install 'ttzo[digits]'"
        ) from error
    found = load_digits()
    x, y = found.data.astype(np.uint8), found.target
    return _split(x, y, by=np.argsort(y, kind="stable"))


def _split(x: np.ndarray, y: np.ndarray, by: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Every fifth row (in the order `by`) becomes a test row; both parts keep the order of the data."""
    test = np.zeros(len(x), bool)
    test[(np.arange(len(x)) if by is None else by)[::HOLD_OUT]] = True
    return x[~test], y[~test], x[test], y[test]


def _npz(path: Path) -> tuple[np.ndarray, ...]:
    try:
        arrays = npz.read(path, ARRAYS)
    except ValueError as error:
        raise DataError(f"{path} is not a readable .npz file ({error})", "write it again with numpy.savez") from error
    if set(arrays) not in (set(ARRAYS), set(ARRAYS[:2])):
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'no known array'}",
            "it should hold x_train, y_train and, if you have them, x_test, y_test",
        )
    if any(array.ndim == 0 for array in arrays.values()):
        raise DataError(
            f"{path} holds a single number where rows are expected", "the first axis of each array counts the rows"
        )
    return tuple(arrays[name] for name in ARRAYS if name in arrays)


def _csv(path: Path, plan: Plan) -> tuple[np.ndarray, ...]:
    """Inputs, then the target: the class in the last column, or `out_features` numbers for mse. A first line
    without any number is a heading."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [line for line in lines if line.strip()]
        rows = rows[_is_heading(rows) :]
        table = np.loadtxt(rows, delimiter=",", ndmin=2) if rows else np.empty((0, 0))
    except (OSError, ValueError) as error:
        reason = str(error).split(";")[0]
        raise DataError(
            f"{path} is not a table of numbers: {reason}",
            "every line wants the same number of columns, the target last",
        ) from error
    n_targets = 1 if plan.loss == Loss.cross_entropy else plan.out_features
    if table.shape[1] <= n_targets and len(table):
        raise DataError(
            f"{path} has {table.shape[1]} columns",
            f"{plan.in_features} inputs and {n_targets} target column(s) are wanted",
        )
    return table[:, :-n_targets], table[:, -n_targets:]


def _is_heading(lines: list[str]) -> bool:
    """Whether no column of the first line is a number (with only some of them damaged it is a row, and refused)."""
    for word in lines[0].split(",") if lines else ():
        try:
            float(word)
            return False
        except ValueError:
            continue
    return bool(lines)


# ---- checks at the door ----------------------------------------------------------------------------------------------


def _numbers(what: str, values: np.ndarray) -> np.ndarray:
    """The array, if it holds finite real numbers."""
    if values.dtype.kind not in "buif":
        raise DataError(f"{what} holds {values.dtype} instead of numbers", "convert it to numbers first")
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise DataError(f"{what} holds NaN or infinity, first in row {row}", "clean or fill these rows first")
    return values


def _inputs(what: str, values: np.ndarray, plan: Plan) -> np.ndarray:
    """(n, in_features) in the plan's input number; numbers that it cannot hold exactly are refused, never clipped.
    float32 inputs are rounded to nearest."""
    values = _numbers(what, values).reshape(len(values), -1)
    if values.shape[1] != plan.in_features:
        raise DataError(
            f"{what} has {values.shape[1]} numbers a row, the model takes {plan.in_features}",
            "choose other data or export a model of that size",
        )
    if plan.input_number == Number.float32:
        with np.errstate(over="ignore"):
            return _numbers(f"{what} as float32", values.astype("<f4"))
    kind = np.iinfo(DTYPES[plan.input_number])
    if values.min() < kind.min or values.max() > kind.max or (values.dtype.kind == "f" and (values % 1 != 0).any()):
        found = f"{values.min():.6g} to {values.max():.6g}"
        hint = f"scale them to whole numbers {kind.min} to {kind.max}, or export with --input float32"
        raise DataError(
            f"{what} is not all whole numbers {kind.min} to {kind.max} (it holds {found}), as the model's {plan.input_number.name} inputs want",
            hint,
        )
    return _known(what, values.astype(DTYPES[plan.input_number]), plan)


def _known(what: str, values: np.ndarray, plan: Plan) -> np.ndarray:
    """The array, if all are tokens that the plan's embedding knows; of a plan without one, the array."""
    if plan.n_tokens and len(bad := np.argwhere((values < 0) | (values >= plan.n_tokens))):
        row, place = map(int, bad[0])
        raise DataError(
            f"{what}: row {row} has the token {values[row, place]}, the model knows 0 to {plan.n_tokens - 1}",
            "number the tokens from 0, or export a model with a larger vocabulary",
        )
    return values


def _targets(what: str, values: np.ndarray, n_rows: int, plan: Plan) -> np.ndarray:
    values = _numbers(what, values)
    if len(values) != n_rows:
        raise DataError(f"{what} has {len(values)} rows, its inputs have {n_rows}", "each row needs its target")
    values = values.reshape(n_rows, -1)
    n_wanted = 1 if plan.loss == Loss.cross_entropy else plan.out_features
    if values.shape[1] != n_wanted:
        raise DataError(
            f"{what} has {values.shape[1]} numbers a row, the model wants {n_wanted}", "check the shape of the targets"
        )
    if plan.loss == Loss.mse:
        with np.errstate(over="ignore"):
            return _numbers(f"{what} as float32", values.astype("<f4"))
    wrong = (values < 0) | (values >= plan.out_features) | (values != np.floor(values))
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise DataError(
            f"{what}: row {row} has the class {values[row, 0]:g}, the model knows 0 to {plan.out_features - 1}",
            "number the classes from 0, or export a model with more outputs",
        )
    return values[:, 0].astype(np.int64)
