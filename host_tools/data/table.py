# SPDX-License-Identifier: MIT
"""A table as a file holds it: named columns of numbers or words, and rows that are called what the person's editor calls
them. `read_text.py` and `read_frame.py` make tables of files."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from ttzo.host_tools.data import faults
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.faults import Fault

MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "#na", "<na>", "nan", "null", "none", "nil", "?", "-", "missing"})

GROUPED = re.compile(r"[+-]?\d{1,3}(?:([.,' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")  # 1.234,5 and 1,234,567


def is_missing(word: str) -> bool:
    """Whether a cell says that its number is missing."""
    return word.strip().lower() in MISSING_WORDS


class Table(ABC):
    """n rows under `names`, one for each column ("" where a column has none). `places` int64 (n,) numbers the rows as
    the source does: `unit` is `line` in a text file (from 1, with the heading and blank lines), else `row`. `ends_blank`: the
    last column has neither a name nor a cell, as where each line ends in a delimiter. `decimal`: the sign in the source's
    numbers."""

    ends_blank = False
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
    def _values(self, columns: Sequence[int]) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
        """Of each column float64 (n,), NaN where a number is missing, 0 where a word stands; and the words by row."""

    def cells(self, columns: Sequence[int]) -> tuple[np.ndarray, list[Fault]]:
        """float64 (n, columns), NaN where a number is missing; and what is wrong: words (0 stands in their place)."""
        made, words = np.empty((len(self), len(columns))), {}
        for k, (values, found) in enumerate(self._values(columns)):
            made[:, k] = values
            if found:
                words[columns[k]] = found
        return made, self._faults(words)

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """float64 (n, columns), NaN where a number is missing. Raises `DataError` for words, with their places."""
        made, found = self.cells(columns)
        if found:
            raise faults.error(self.source, found)
        return made

    @abstractmethod
    def words(self, column: int) -> np.ndarray:
        """str objects (n,) without spaces around them; "" where a cell is empty."""

    def find(self, text: str, what: str) -> list[int]:
        """Columns (from 0) by names or numbers from 1 with commas between; a name goes before a number. Raises
        `DataError` for those that are not there, or that are there twice."""
        words = [word.strip() for word in text.split(",")]
        lost = [word for word in words if word not in self.names and not self._is_number(word)]
        if lost:
            named = ", ".join(f"`{word}`" for word in lost)
            raise DataError(f"{self.source} has no column {named}", f"{self.columns_text()}: --{what} COLUMN")
        return [self._find(word, what) for word in words]

    def _is_number(self, word: str) -> bool:
        """Whether it is the number of a column."""
        return word.isdigit() and 1 <= int(word) <= len(self.names)

    def _find(self, word: str, what: str) -> int:
        named = [number for number, name in enumerate(self.names) if name == word]
        if len(named) > 1:
            hint = f"name its number instead, such as --{what} {named[-1] + 1}"
            raise DataError(f"{self.source} has {len(named)} columns called `{word}`", hint)
        return named[0] if named else int(word) - 1

    def columns_text(self) -> str:
        """The columns, for a hint."""
        known = [name for name in self.names if name]
        if not known:
            return f"its columns are 1 to {len(self.names)}"
        shown = known if len(known) <= 12 else [*known[:5], "...", *known[-3:]]
        return f"its columns are {', '.join(shown)}"

    def _faults(self, words: dict[int, dict[int, str]]) -> list[Fault]:
        """Of the words that stand where numbers are wanted, by column and row: one fault for each column. The first has
        the hint for all."""
        made: list[Fault] = []
        for column, found in words.items():
            row, word = next(iter(found.items()))
            more = f" (and {len(found) - 1:,} more cells of this column hold words)" if len(found) > 1 else ""
            what = f"{self.place(row)}, {self.column_text(column)} holds `{word[:40]}`, which is not a number{more}"
            made.append(Fault(what, "" if made else self._hint(words)))
        return made

    def _hint(self, words: dict[int, dict[int, str]]) -> str:
        first = [next(iter(found.items())) for found in words.values()]
        for _, word in first:
            if grouped := GROUPED.fullmatch(word):
                return f"write numbers without separators of thousands: `{word.replace(grouped[1], '')}`"
        names = [self.names[column] or str(column + 1) for column in words]
        at_top = all(0 in found and set(found) <= {0, 1} for found in words.values())
        second = "keep one line of headings at the top, and none of units; else " if at_top else ""
        one = f"name the column with --target {names[0]} if it holds the classes, with --ignore {names[0]} if it is none to learn from"
        several = f"name the one with the classes with --target COLUMN; leave out what is none to learn from: --ignore {','.join(names)}"
        return f"{second}correct it; or {one if len(names) == 1 else several}"
