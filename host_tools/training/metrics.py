# SPDX-License-Identifier: MIT
"""`metrics.csv`: one line a step and one for each event of the guard, after `#` lines that name model, device and settings.

A line is written whole and flushed, and ends in its checksum: the CRC-32 of what stands before the last comma, as eight
hexadecimal digits. A run that goes on from a checkpoint first drops the lines after it, for those steps are done again, to
the same numbers; a file that holds anything else that would be dropped is kept beside it under another name.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.plan.printable import printable
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data.whole_file import DiskError, write_atomically
from ttzo.host_tools.training.guard import Kind

COLUMNS = (
    "step",
    "phase",
    "loss",
    "gradient_norm",
    "evaluations",
    "seconds",
    "accuracy",
    "test_loss",
    "validation_accuracy",
    "validation_loss",
    "relative_l2",
    "macs",
    "instructions",
    "judged",
    "event",
    "back_to",
)
# judged: the loss that the guard looked at after the step, where it did (guard.py). A line of an event of the guard has
# step, event, and where they are known judged, back_to and the measurements of test rows. evaluations, seconds, macs and instructions are those of the run until there; macs and instructions are left out where
# nobody counts them
HEADING = ",".join((*COLUMNS, "crc32"))
MOST_BYTES = 1 << 30  # of a file that is read: a hundred bytes each for ten million steps


class MetricsError(TtzoError):
    """A metrics file that is none, or that is damaged."""


def settings_text(settings: Training) -> str:
    """The settings as one line of JSON, enumerations by name."""

    def plain(value: Any) -> Any:
        return value.name if hasattr(value, "name") else value

    page = {f.name: plain(getattr(settings, f.name)) for f in dataclasses.fields(settings) if f.name != "phases"}
    page["phases"] = [{f.name: plain(getattr(p, f.name)) for f in dataclasses.fields(p)} for p in settings.phases]
    return json.dumps(page)


def _whole_lines(path: Path) -> list[str]:
    """The lines of the file but one that was cut short. What is no text becomes a sign that no number holds."""
    if path.stat().st_size > MOST_BYTES:
        raise MetricsError(f"{path} has more than {MOST_BYTES:,} bytes", "name the folder of a run")
    text = path.read_text(encoding="utf-8", errors="replace")
    return text.rpartition("\n")[0].split("\n") if "\n" in text else []


def _sealed(words: str) -> str:
    """A step's line: its words and their checksum."""
    return f"{words},{zlib.crc32(words.encode()):08x}"


Row = dict[str, float | None]


def _step(line: str) -> Row | None:
    """The numbers of a step's line by column; None when it is damaged."""
    words, _, _ = line.rpartition(",")
    if line != _sealed(words):
        return None
    try:
        values = [float(word) if word else None for word in words.split(",")]
        made: Row = dict(zip(COLUMNS, values, strict=True))
    except ValueError:
        return None
    is_possible = made["step"] is not None and made["step"].is_integer() and made["event"] in (None, *Kind)
    return made if is_possible else None


def read(path: Path) -> list[Row]:
    """The steps of a metrics file, without the events; a last line that was cut short is left out. Raises `MetricsError`."""
    try:
        lines = _whole_lines(path)
    except OSError as error:
        raise MetricsError(f"there is no metrics file {path} ({error.strerror})", "name the folder of a run") from error
    rows = [line for line in lines if not line.startswith("#")]
    if not rows or rows[0] != HEADING:
        raise MetricsError(f"{path} is not a metrics file of ttzo", "name the folder of a run")
    made = []
    for number, row in enumerate(rows[1:], 1):
        if (step := _step(row)) is None:
            raise MetricsError(f"{path} is damaged at step line {number}", "train again with --restart")
        made.append(step)
    return [row for row in made if row["event"] is None]


def origin(path: Path) -> str:
    """Model and device of the run, as the first line of its metrics names them; "" where it names none."""
    try:
        first = next(iter(_whole_lines(path)), "")
    except OSError:
        return ""
    return printable(first.partition(": ")[2]) if first.startswith("# from step") else ""


def _word(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


def as_kept(value: float) -> float:
    """A number as it is read back from the file."""
    return float(_word(float(value)))


class MetricsFile:
    """The metrics of a run, open for appending."""

    def __init__(
        self,
        path: Path,
        origin: str,
        settings: Training,
        step: int,
        say: Callable[[str], object] = lambda text: None,
    ):
        """Goes on after `step` in the file at `path`, or begins it when `step` is 0. `origin` names model and device.
        `say(text)` hears what is dropped. Raises `DiskError`."""
        kept = self._kept(path, step, say)
        self.done = [row for line in kept if (row := _step(line))]  # what the file holds of the run until `step`
        steps = [row for row in self.done if row["event"] is None]
        last = steps[-1] if steps else dict.fromkeys(COLUMNS, 0.0)
        self.seconds = last["seconds"] or 0.0  # of the run until here
        self.macs = int(last["macs"] or 0)
        self.instructions = int(last["instructions"] or 0)
        head = [f"# from step {step}: {printable(origin)}", f"# settings: {settings_text(settings)}"]
        lines = [*kept, *head] if kept else [*head, HEADING]
        write_atomically(path, ("\n".join(lines) + "\n").encode())
        self._file = path.open("a", encoding="utf-8")

    @classmethod
    def _kept(cls, path: Path, step: int, say: Callable[[str], object]) -> list[str]:
        """The lines up to `step`, and before the first that is damaged."""
        if not step or not path.exists():
            return []
        kept: list[str] = []
        lines, damage = _whole_lines(path), ""
        for number, line in enumerate(lines):
            if line and not line.startswith("#") and line != HEADING:
                row = _step(line)
                if row is None:
                    damage = f"its line {number + 1} is damaged"
                    break
                if (row["step"] or 0) > step:
                    dropped = sum(not later.startswith("#") for later in lines[number:])
                    say(f"{path.name}: {dropped} steps after step {step} are dropped; they are done again")
                    break
            kept.append(line)
        if lines and HEADING not in kept:
            kept, damage = [], "it is not a metrics file of this version of ttzo"
        if damage:
            cls._put_aside(path, say, damage)
        return kept

    @staticmethod
    def _put_aside(path: Path, say: Callable[[str], object], why: str) -> None:
        """Keeps a copy of the file as it is, under the first name that is free."""
        number = 1
        while (aside := path.with_name(f"{path.stem}.aside-{number}{path.suffix}")).exists():
            number += 1
        write_atomically(aside, path.read_bytes())
        say(f"{path.name}: {why}; what cannot be gone on with is kept in {aside.name}")

    def write(self, **values: float | None) -> None:
        """One step or event, the other columns empty; float32 numbers keep all their digits. Raises `DiskError` when the
        disk does not take it."""
        words = ",".join(_word(values.get(name)) for name in COLUMNS)
        try:
            self._file.write(_sealed(words) + "\n")
            self._file.flush()
        except OSError as error:
            raise DiskError(Path(self._file.name), error) from error

    def close(self) -> None:
        with suppress(OSError):  # the disk has refused a line before: `write` has said so
            self._file.close()
