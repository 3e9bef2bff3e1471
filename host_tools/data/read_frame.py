# SPDX-License-Identifier: MIT
"""Tables in files that hold typed columns: .parquet by pandas, .npy by NumPy. Rows are counted from 1, as a viewer does."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.table import Table


class FrameTable(Table):
    """Columns by name, each (n,) numbers or objects."""

    def __init__(self, source: str, columns: Mapping[str, np.ndarray], named: bool = True):
        self._columns = list(columns.values())
        n = len(self._columns[0]) if self._columns else 0
        super().__init__(source, list(columns) if named else [""] * len(columns), np.arange(1, n + 1), "row")

    def _values(self, columns: Sequence[int]) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
        return (self._column(column) for column in columns)

    def _column(self, column: int) -> tuple[np.ndarray, dict[int, str]]:
        values = self._columns[column]
        if values.dtype.kind in "buif":
            return values.astype(float), {}
        made, found = np.zeros(len(values)), {}
        for row, value in enumerate(values):
            try:
                made[row] = np.nan if _is_none(value) else float(value)
            except (TypeError, ValueError):
                found[row] = str(value)
        return made, found

    def words(self, column: int) -> np.ndarray:
        return np.array(["" if _is_none(value) else str(value).strip() for value in self._columns[column]], object)


def _is_none(value: object) -> bool:
    """None, NaN, and what pandas has for a missing value: all that is not equal to itself, or has no truth."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA
        return True


def read_parquet(path: Path) -> FrameTable:
    """Raises `DataError` when the file is damaged, or nothing is installed that reads it."""
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise DataError(
            f"{path}: pandas reads .parquet with pyarrow, which is not installed", "pip install 'ttzo[parquet]'"
        ) from error
    except Exception as error:  # a damaged file brings forth what its reader likes to raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a readable .parquet file ({reason})", "write it again") from error
    return FrameTable(str(path), {str(name): frame[name].to_numpy() for name in frame.columns})


def read_npy(path: Path) -> FrameTable:
    """A two-dimensional array, or a structured one whose fields are the columns. Raises `DataError`."""
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy raises a dozen kinds for a damaged file
        raise DataError(f"{path} is not a readable .npy file ({error})", "write it again with numpy.save") from error
    if array.dtype.names:
        return FrameTable(str(path), {name: array[name] for name in array.dtype.names})
    if array.ndim != 2:
        raise DataError(f"{path} holds an array of {array.ndim} dimensions", "a table has rows and columns")
    return FrameTable(str(path), {str(k): array[:, k] for k in range(array.shape[1])}, named=False)
