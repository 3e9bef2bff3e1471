# SPDX-License-Identifier: MIT
"""A table as a file holds it: named columns of numbers or words, and rows that are called what the person's editor calls
them. `read_text.py` and `read_frame.py` make tables of files."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from ttzo.host_tools.data.data_error import DataError

MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "#na", "<na>", "nan", "null", "none", "nil", "?", "-", "missing"})

GROUPED = re.compile(r"[+-]?\d{1,3}(?:([.,' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")  # 1.234,5 and 1,234,567


def is_missing(word: str) -> bool:
    """Whether a cell says that its number is missing."""
    return word.strip().lower() in MISSING_WORDS


class Table(ABC):
    """n rows under `names`, one for each column ("" where a column has none). `places` int64 (n,) numbers the rows as
    the source does: `unit` is `line` in a text file (from 1, with the heading and blank lines), else `row`. `decimal`: the
    sign in the source's numbers."""

    decimal = "."

    def __init__(self, source: str, names: Sequence[str], places: np.ndarray, unit: str, notes: Sequence[str] = ()):
        self.source, self.names, self.places, self.unit = source, tuple(names), places, unit
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self.places)

    def place(self, row: int) -> str:
        """`line 7`."""
        return f"{self.unit} {self.places[row]}"

    def column_text(self, column: int) -> str:
        """Column number from 1, and its name."""
        name = self.names[column]
        return f"column {column + 1} (`{name}`)" if name else f"column {column + 1}"

    @abstractmethod
    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """float64 (n, columns), NaN where a number is missing. Raises `DataError` for a word, with its place."""

    @abstractmethod
    def words(self, column: int) -> np.ndarray:
        """str objects (n,) without spaces around them; "" where a cell is empty."""

    def find(self, text: str, what: str) -> list[int]:
        """Columns (from 0) by names or numbers from 1 with commas between; a name goes before a number. Raises
        `DataError` for one that is not there, or that is there twice."""
        return [self._find(word.strip(), what) for word in text.split(",")]

    def _find(self, word: str, what: str) -> int:
        named = [number for number, name in enumerate(self.names) if name == word]
        if len(named) == 1:
            return named[0]
        if named:
            hint = f"name its number instead, such as --{what} {named[-1] + 1}"
            raise DataError(f"{self.source} has {len(named)} columns called `{word}`", hint)
        if word.isdigit() and 1 <= int(word) <= len(self.names):
            return int(word) - 1
        raise DataError(f"{self.source} has no column `{word}`", f"{self.columns_text()}: --{what} COLUMN")

    def columns_text(self) -> str:
        """The columns, for a hint."""
        known = [name for name in self.names if name]
        if not known:
            return f"its columns are 1 to {len(self.names)}"
        shown = known if len(known) <= 12 else [*known[:5], "...", *known[-3:]]
        return f"its columns are {', '.join(shown)}"

    def refuse_word(self, row: int, column: int, word: str) -> DataError:
        """The error of a word where a number is wanted."""
        what = (
            f"{self.source}: {self.place(row)}, {self.column_text(column)} holds `{word[:40]}`, which is not a number"
        )
        if grouped := GROUPED.fullmatch(word):
            plain = word.replace(grouped[1], "")
            return DataError(what, f"write numbers without separators of thousands: `{plain}`")
        name = self.names[column] or str(column + 1)
        hint = f"correct it; or name the column with --target {name} if it holds the classes, with --ignore {name} if it is none to learn from"
        second = "keep one line of headings at the top, and none of units; else " if row == 0 else ""
        return DataError(what, second + hint)
