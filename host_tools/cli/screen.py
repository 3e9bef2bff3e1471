# SPDX-License-Identifier: MIT
"""The output of a command: results to a person on stdout, or as one JSON object there; progress and errors on stderr."""

import dataclasses
import enum
import functools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.plan.printable import printable
from ttzo.host_tools.data.whole_file import HINTS, OF_THE_DISK

Show = Callable[..., None]
PIPE_WIDTH = 100  # where there is no terminal to ask
WIDE = 100  # columns; below it a bar is half as long
BAR = 20
LINE_S = 5.0  # between two lines that take a bar's place
TIME_LEFT = len(" 0:00:00")
WHOLE_NAME = 24  # letters; longer names in a table's first column may be broken


def plain(value: Any) -> Any:
    """A value as JSON has it: enumerations by name, records and tuples as objects and lists, no NaN."""
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


class Screen:
    """One command's voice. `exit_code` is what the command ends with when nothing is raised."""

    def __init__(self, as_json: bool):
        self.as_json, self.exit_code = as_json, ExitCode.well
        self.results, self.notes = _console(as_json), _console(True)
        self._waiting: Status | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Something that moves on a terminal until the first output, or the end."""
        self._waiting = self.notes.status("working")
        self._waiting.start()
        try:
            yield
        finally:
            self._wait_no_longer()

    def _wait_no_longer(self) -> None:
        if self._waiting:
            self._waiting.stop()
            self._waiting = None

    def say(self, text: str) -> None:
        """What is going on."""
        self._print(self.notes, text, "dim")

    def tell(self, text: str) -> None:
        """A result."""
        self._print(self.results, text)

    def _print(self, console: Console, text: str, style: str = "") -> None:
        """Breaks lines between words on a terminal; a file or a pipe gets them whole."""
        self._wait_no_longer()
        console.print(_shown(text), style=style, markup=False, soft_wrap=not console.is_terminal)

    def table(
        self, title: str, rows: list[tuple], heading: tuple[str, ...] | None = None, spare: tuple[str, ...] = ()
    ) -> None:
        """Rows of one result; the first column names what the others hold. Columns of the headings in `spare` are left out,
        the first first, where the terminal is too narrow for all."""
        if heading:
            heading, rows, left_out = _that_fit(heading, rows, spare, self.results.width)
            title = f"{title} (too narrow for: {', '.join(left_out)})".strip() if left_out else title
        if title:
            self._print(self.results, title, "bold")
        made = Table(show_header=heading is not None, box=None, pad_edge=False)
        names_fit = max((len(str(row[0])) for row in rows), default=0) <= WHOLE_NAME
        for number in range(len(rows[0]) if rows else 0):
            made.add_column(
                heading[number] if heading else "",
                style="" if number else "cyan",
                overflow="fold",
                no_wrap=names_fit and not number,
            )
        for row in rows:
            made.add_row(*(_escaped(str(cell)) for cell in row))
        self._wait_no_longer()
        self.results.print(made)

    def emit(self, result: dict) -> None:
        """The one object of --json."""
        self._wait_no_longer()
        if self.as_json:
            print(json.dumps(plain(result), indent=1), flush=True)

    def fail(self, what: str, hint: str, exit_code: ExitCode) -> None:
        self._wait_no_longer()
        self.notes.print(f"[bold red]error:[/] {_escaped(what)}", soft_wrap=True)
        if hint:
            self.notes.print(f"[bold]next:[/] {_escaped(hint)}", soft_wrap=True)
        self.refuse(what, hint, exit_code)

    def refuse(self, what: str, hint: str, exit_code: ExitCode) -> None:
        """The one object of --json of a command that failed; also ends it with `exit_code`."""
        self.exit_code = exit_code
        self.emit({"ok": False, "error": what, "next": hint, "exit_code": int(exit_code)})

    @contextmanager
    def bars(self) -> Iterator[Callable[..., Show]]:
        """A place for live bars; what is yielded makes one from a text and a unit, and that takes (done, total, note).
        Without a terminal lines take a bar's place: one at its end, and while it lasts one at a tenth that comes `LINE_S`
        after the line before."""
        self._wait_no_longer()
        if not self.notes.is_terminal:
            yield self._lines
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=_bar_width(self.notes.width)),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.notes, transient=True) as progress:
            yield lambda text, unit="": _bar(progress, text, unit)

    @contextmanager
    def bar(self, text: str, unit: str = "") -> Iterator[Show]:
        """One live bar."""
        with self.bars() as make:
            yield make(text, unit)

    def _lines(self, text: str, unit: str = "") -> Show:
        shown, at = 0, time.monotonic()

        def show(done: int, total: int, note: str = "") -> None:
            nonlocal shown, at
            tenth, now = 10 * done // max(1, total), time.monotonic()
            if tenth > shown and (done >= total or now >= at + LINE_S):
                shown, at = tenth, now
                self.say(f"{text} {note or _count(done, total, unit)}")

        return show


def _that_fit(
    heading: tuple[str, ...], rows: list[tuple], spare: tuple[str, ...], columns: int
) -> tuple[tuple[str, ...], list[tuple], list[str]]:
    """Heading and rows without the spare columns for which there is no room, and what was left out."""
    left_out: list[str] = []
    for name in spare:
        lines = [heading, *rows]
        if sum(max(len(str(line[at])) for line in lines) + 2 for at in range(len(heading))) - 2 <= columns:
            break
        at = heading.index(name)
        heading, rows = heading[:at] + heading[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
        left_out.append(name)
    return heading, rows, left_out


def _bar(progress: Progress, text: str, unit: str) -> Show:
    """A bar that appears with its first news and goes when all is done."""
    task = progress.add_task(text, total=None, note="", visible=False)

    def show(done: int, total: int, note: str = "") -> None:
        shown = _fitting(note or _count(done, total, unit), progress.console.width, text)
        progress.update(task, completed=done, total=total, visible=done < total, note=shown)

    return show


def _bar_width(columns: int) -> int:
    return BAR if columns >= WIDE else BAR // 2


def _fitting(note: str, columns: int, text: str) -> str:
    """As many parts of the note, which stand two blanks apart, as fit beside text, bar and time left; the first always."""
    room = columns - len(text) - _bar_width(columns) - TIME_LEFT - len("  ")
    while len(note) > room and "  " in note:
        note = note[: note.rindex("  ")]
    return note


def _shown(text: str) -> str:
    """The text without anything that a terminal obeys, but for the ends of lines: parts of it came from files and
    devices."""
    return printable(text, keep="\n\t")


def _escaped(text: str) -> str:
    return _shown(text).replace("[", r"\[")


def _count(done: int, total: int, unit: str) -> str:
    return f"{done:,}/{total:,} {unit}".rstrip()


def command(function: Callable[..., dict]) -> Callable[..., None]:
    """Makes a click callback of `function(screen, **options) -> result`: adds --json, turns errors into a sentence, a
    next step and an exit code."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; everything else goes to stderr.")
    @functools.wraps(function)
    def run(as_json: bool, **options: Any) -> None:
        screen = Screen(as_json)
        try:
            with screen.working():
                result = function(screen, **options)
            screen.emit({"ok": True} | result)
        except TtzoError as error:
            screen.fail(str(error), error.hint, error.exit_code)
        except KeyboardInterrupt:
            screen.fail("interrupted", "", ExitCode.interrupted)
        except OSError as error:
            what = f"{error.strerror or error}: {error.filename or 'the operating system refused'}"
            exit_code = ExitCode.disk if error.errno in OF_THE_DISK else ExitCode.input
            screen.fail(what, HINTS.get(error.errno or 0, ""), exit_code)
        except MemoryError as error:
            screen.fail(f"this machine has too little memory ({error})", "take smaller sizes", ExitCode.input)
        except Exception as error:
            traceback.print_exc()
            screen.fail(f"this is a bug in ttzo: {error!r}", "report it with the lines above", ExitCode.bug)
        sys.exit(screen.exit_code)

    return run
