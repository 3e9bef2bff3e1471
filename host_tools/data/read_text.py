# SPDX-License-Identifier: MIT
"""Tables in text files (.csv, .tsv, .txt): delimiter, decimal sign, quotes, byte order mark and heading are found in the
file itself. Imports pandas, which parses the cells."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.faults import SHOWN
from ttzo.host_tools.data.table import MISSING_WORDS, Table, is_missing

LOOKED_AT = 100  # rows that decide on delimiter, decimal sign and heading
SPACES = r"\s+"
# The first of equally good ones is taken. A decimal comma does not go with commas between cells.
FORMATS = (
    (",", "."),
    (";", "."),
    (";", ","),
    ("\t", "."),
    ("\t", ","),
    ("|", "."),
    ("|", ","),
    (SPACES, "."),
    (SPACES, ","),
)
_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "`|`", SPACES: "spaces"}
_NUMBER = {
    ".": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE),
    ",": re.compile(r"[+-]?(\d+(,\d+)?|,\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE),
}
BLANK = " \t;,|"  # what a line without a cell may hold
_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Format:
    """How cells are written."""

    delimiter: str
    decimal: str
    quote: str

    def cells(self, record: str) -> list[str]:
        """The cells of a record, without quotes and spaces around them."""
        if self.quote not in record:
            words = record.split() if self.delimiter == SPACES else record.split(self.delimiter)
            return [word.strip() for word in words]
        delimiter = " " if self.delimiter == SPACES else self.delimiter
        lines = io.StringIO(record)
        read = csv.reader(lines, delimiter=delimiter, quotechar=self.quote, skipinitialspace=True)
        return [word.strip() for word in next(read, [])]

    def is_number(self, word: str) -> bool:
        return _NUMBER[self.decimal].fullmatch(word) is not None

    def number(self, word: str) -> float:
        return float(word.replace(self.decimal, "."))


class TextTable(Table):
    """Records of a text file, parsed when somebody asks for columns."""

    def __init__(
        self, path: Path, form: Format, names: Sequence[str], records: list[str], places: np.ndarray, notes: list[str]
    ):
        super().__init__(str(path), names, places, "line", notes)
        self._form, self._text = form, "\n".join(records)
        self.decimal = form.decimal

    def _read(self, columns: Sequence[int], **how: Any) -> Any:
        import pandas

        try:
            frame = pandas.read_csv(
                io.StringIO(self._text),
                sep=self._form.delimiter,
                decimal=self._form.decimal,
                quotechar=self._form.quote,
                header=None,
                names=list(range(len(self.names))),
                usecols=sorted(set(columns)),
                skipinitialspace=True,
                keep_default_na=False,
                skip_blank_lines=False,
                index_col=False,
                low_memory=False,
                **how,
            )
            if len(frame) != len(self):
                raise ValueError(f"{len(self):,} lines hold rows, of which quotes make {len(frame):,}")
            return frame
        except ValueError as error:  # pandas reads quotes, and lines that are cut short, more strictly than `csv`
            reason = str(error).strip().splitlines()[0]
            raise DataError(
                f"{self.source}: the cells cannot be told apart ({reason})", "check quotes and separators"
            ) from error

    def _values(self, columns: Sequence[int]) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
        spellings = [*MISSING_WORDS, *map(str.upper, MISSING_WORDS), *map(str.capitalize, MISSING_WORDS), "NaN"]
        frame = self._read(columns, na_values=spellings)
        for column in columns:
            values = frame[column]
            yield (values.to_numpy(float), {}) if values.dtype.kind in "buif" else self._converted(column)

    def _converted(self, column: int) -> tuple[np.ndarray, dict[int, str]]:
        """A column that pandas does not take for numbers as a whole, cell by cell."""
        made, found = np.zeros(len(self)), {}
        for row, word in enumerate(self.words(column)):
            if is_missing(word):
                made[row] = np.nan
            elif self._form.is_number(word):
                made[row] = self._form.number(word)
            else:
                found[row] = word
        return made, found

    def words(self, column: int) -> np.ndarray:
        cells = self._read([column], dtype=str, na_filter=False)[column]
        return np.array([cell.strip() for cell in cells], object)


# ---- the file --------------------------------------------------------------------------------------------------------


def read(path: Path, heading: str | None = None) -> TextTable:
    """The table in a text file. `heading`: yes or no where the person says it. Raises `DataError`."""
    text = _decoded(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    quote = "'" if '"' not in text and _all_quoted(lines) else '"'
    notes: list[str] = []
    if lines[0].lower().startswith("sep=") and len(lines[0]) == 5:  # a line that spreadsheets write for themselves
        lines[0] = ""
    records, places = _records(path, lines, quote, notes)
    if not records:
        raise DataError(f"{path} is empty", "give a table with a row for each sample")
    form = _format(records, quote)
    cells = [form.cells(record) for record in records]
    width = _width(path, form, [len(row) for row in cells], places)
    names, notes_of_heading = _heading(path, form, records, width, heading)
    notes += notes_of_heading
    first = 1 if names else 0
    if len(records) == first:
        raise DataError(f"{path} holds a heading and no rows", "give a table with a row for each sample")
    made = TextTable(path, form, names or [""] * width, records[first:], places[first:], notes)
    made.ends_blank = not any(row[-1] for row in cells)
    return made


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "check the file's name and permissions") from error
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in content:
        raise DataError(f"{path} is not a text file", "save the table as CSV")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")  # spreadsheets on Windows


def _all_quoted(lines: list[str]) -> bool:
    """Whether single quotes stand around cells: in every line that is not blank, in pairs."""
    filled = [line for line in lines[:LOOKED_AT] if line.strip()]
    return bool(filled) and all(line.count("'") and line.count("'") % 2 == 0 for line in filled)


def _records(path: Path, lines: list[str], quote: str, notes: list[str]) -> tuple[list[str], np.ndarray]:
    """What is neither blank nor a comment, with line numbers from 1. A quoted cell may go over several lines. Lines of
    separators alone are blank: spreadsheets write them after the last row."""
    records: list[str] = []
    places: list[int] = []
    is_open, n_comments = False, 0
    for number, line in enumerate(lines, 1):
        if is_open:
            records[-1] += "\n" + line
        elif not line.strip(BLANK):
            continue
        elif line.startswith("#"):
            n_comments += 1
            continue
        else:
            records.append(line)
            places.append(number)
        if line.count(quote) % 2:
            is_open = not is_open
    if is_open:
        raise DataError(f"{path}: a quote that opens in line {places[-1]} is never closed", "correct that line")
    if n_comments:
        notes.append(f"{path}: {n_comments} line(s) that begin with # were left out")
    return records, np.array(places, np.int64)


# ---- what the file says of itself ------------------------------------------------------------------------------------


def _format(records: list[str], quote: str) -> Format:
    """The format under which most cells are numbers, every row has as many cells as the others, and there is more than
    one column."""
    best, best_score = Format(",", ".", quote), (False, 0.0, 0)
    for delimiter, decimal in FORMATS:
        form = Format(delimiter, decimal, quote)
        rows = [form.cells(record) for record in records[:LOOKED_AT]]
        counts = Counter(map(len, rows))
        width, agreeing = counts.most_common(1)[0]
        if width == 1 and len(counts) == 1:
            continue
        cells = [cell for row in rows for cell in row]
        share = sum(form.is_number(cell) or is_missing(cell) for cell in cells) / len(cells)
        score = (agreeing > len(rows) / 2, round(share, 9), width if delimiter != SPACES else 0)
        if score > best_score:
            best, best_score = form, score
    return best


def _width(path: Path, form: Format, counts: list[int], places: np.ndarray) -> int:
    """The number of columns, the same in all records: `counts` has it of each."""
    usual = Counter(counts).most_common(1)[0][0]
    others = [number for number, count in enumerate(counts) if count != usual]
    if others:
        row = next(number for number, count in enumerate(counts) if count == usual)
        cells = f"cells are read with {_NAMES[form.delimiter]} between them"
        more = ", ".join(str(places[number]) for number in others[1 : SHOWN + 1])
        also = f"; {len(others) - 1:,} more lines differ: {more}{', ...' * (len(others) > SHOWN + 1)}" if more else ""
        raise DataError(
            f"{path}: line {places[others[0]]} has {counts[others[0]]} columns, line {places[row]} has {usual} ({cells}){also}",
            f"every line needs the same number of columns: correct {'those lines' if more else 'that line'}",
        )
    return usual


def _heading(
    path: Path, form: Format, records: list[str], width: int, said: str | None
) -> tuple[list[str] | None, list[str]]:
    """The columns' names, where the first record holds them, and what is to be said of it."""
    first = form.cells(records[0])
    rows = [form.cells(record) for record in records[1 : LOOKED_AT + 1]]
    if said == "no" or (said is None and not _is_heading(form, first, rows)):
        return None, []
    numbers = sum(form.is_number(cell) for cell in first)
    shown = ", ".join(first[:4]) + (", ..." if width > 4 else "")
    note = f"{path}: the first line ({shown}) holds the columns' names; --heading no reads it as a row"
    return first, [note] if numbers and said is None else []


def _is_heading(form: Format, first: list[str], rows: list[list[str]]) -> bool:
    """A first line is a heading where a word stands over a column of numbers; what numbers it holds must rise then (such
    as 0, 1, 2, label, or years), for in a damaged row of numbers they do not. One of numbers alone is a heading where
    it counts its columns from 0, as pandas writes them; a first column without a name may hold the rows' numbers."""
    numbers = [form.number(cell) for cell in first if form.is_number(cell)]
    if not rows:
        return not numbers
    words = [k for k, cell in enumerate(first) if cell and not form.is_number(cell)]
    if any(_is_numeric(form, [row[k] for row in rows]) for k in words):
        return all(low < high for low, high in zip(numbers, numbers[1:], strict=False))
    counted = first[1:] if not first[0] else first
    return len(counted) > 1 and counted == [str(k) for k in range(len(counted))]


def _is_numeric(form: Format, column: list[str]) -> bool:
    """Whether all cells are numbers or missing, and one is a number."""
    numbers = [form.is_number(cell) for cell in column]
    return any(numbers) and all(found or is_missing(cell) for found, cell in zip(numbers, column, strict=True))
