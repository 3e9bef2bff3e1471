# SPDX-License-Identifier: MIT
"""Rows off a serial line that prints numbers, one line for each row, into a table.

Whatever stands between the numbers is no matter: `0.1, 0.2`, `ax=0.1 ay=0.2`, `{"ax": 0.1, "ay": 0.2}`. Words in front of
all numbers name the columns. The first line that holds numbers says how many a row has; lines with another count (cut
short, or a message) are counted and left out.
"""

import csv
import io
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.read_rows import RECORDING

LONGEST_LINE_BYTES = 64 << 10
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)\b"
_NUMBERS = re.compile(rf"(?<![\w.])(?:{_NUMBER})(?![\w.])", re.IGNORECASE)
_NAMED = re.compile(rf"([A-Za-z_][\w.]*)\"?\s*[:=]\s*(?:{_NUMBER})(?![\w.])", re.IGNORECASE)


class Line(Protocol):
    """A serial port, or what reads like one: `read` gives what has come within its timeout, b"" when nothing has."""

    def read(self, size: int = 1) -> bytes: ...


def numbers_of(line: str) -> tuple[list[str], list[str]]:
    """Names and numbers of a line, as they are written; the names are [] unless each number has one."""
    named = [match.group(1) for match in _NAMED.finditer(line)]
    numbers = _NUMBERS.findall(line)
    return (named if len(named) == len(numbers) else []), numbers


def lines_of(stream: Line, is_over: Callable[[], bool]) -> Iterator[str]:
    """Whole lines as they come, until `is_over`; what has come before the first line end is left out, it may be the rest
    of a line."""
    buffer, is_first = b"", True
    while not is_over():
        buffer += stream.read(256)
        *whole, buffer = buffer.split(b"\n")
        buffer = buffer[-LONGEST_LINE_BYTES:]
        for line in whole:
            if not is_first:
                yield line.decode(errors="replace").strip()
            is_first = False


@dataclass(frozen=True)
class Recording:
    """What came of it: rows written, lines left out, the number of this recording in the table, its columns' names."""

    n_rows: int
    n_left_out: int
    number: int
    columns: tuple[str, ...]


def record(
    stream: Line,
    path: Path,
    constants: dict[str, str],
    *,
    n_rows: int | None = None,
    seconds: float | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    report: Callable[[int], object] = lambda n: None,
) -> Recording:
    """Appends rows to the table at `path`, or begins it: the numbers, then the columns `recording` (1, 2, .. in each
    table) and those of `constants`, such as `label`. Ends after `n_rows`, after `seconds`, or when `is_stopped`.

    Raises `DataError` when the table is there and has other columns, or when nothing came that holds numbers.
    """
    end = None if seconds is None else time.monotonic() + seconds
    written, left_out, number = 0, 0, 1
    columns: tuple[str, ...] = ()

    def is_over() -> bool:
        return is_stopped() or written == n_rows or end is not None and time.monotonic() > end

    file: io.TextIOWrapper | None = None
    try:
        for line in lines_of(stream, is_over):
            if is_over():
                break
            names, numbers = numbers_of(line)
            if file is None and numbers:
                columns = tuple(names or (f"x{k + 1}" for k in range(len(numbers))))
                number, file = _opened(path, (*columns, RECORDING, *constants))
            if file is None or len(numbers) != len(columns) or not all(math.isfinite(float(each)) for each in numbers):
                left_out += bool(line)
                continue
            csv.writer(file, lineterminator="\n").writerow([*numbers, number, *constants.values()])
            file.flush()
            written += 1
            report(written)
    finally:
        if file is not None:
            file.close()
    if not written:
        raise DataError(
            f"no line with numbers arrived, only {left_out} other lines" if left_out else "nothing arrived",
            "the device should print one line of numbers for each row; check --baud",
        )
    return Recording(written, left_out, number, columns)


def _opened(path: Path, heading: tuple[str, ...]) -> tuple[int, io.TextIOWrapper]:
    """The number of the next recording and the table, open after its last row; begun if there is none."""
    if not path.exists() or not path.stat().st_size:
        file = path.open("w", encoding="utf-8", newline="")
        csv.writer(file, lineterminator="\n").writerow(heading)
        return 1, file
    with path.open(encoding="utf-8", newline="") as there:
        rows = list(csv.reader(there))
    if tuple(rows[0]) != heading:
        raise DataError(
            f"{path} has the columns {', '.join(rows[0])}, but the arriving rows have {', '.join(heading)}",
            "choose another file with -o, or give the same --label and --column as before",
        )
    at = heading.index(RECORDING)
    known = [int(row[at]) for row in rows[1:] if len(row) == len(heading) and row[at].isdigit()]
    file = path.open("a", encoding="utf-8", newline="")
    if rows[-1:] and len(rows[-1]) != len(heading):
        file.write("\n")  # the last row was cut short: no row of these joins it
    return max(known, default=0) + 1, file
