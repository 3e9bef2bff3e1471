# SPDX-License-Identifier: MIT
"""`metrics.csv`: one line a step, behind `#` lines that tell model, device and settings.

A line is written whole and flushed; a run that goes on from a checkpoint first drops the lines behind it, for those
steps are done again, to the same numbers.
"""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.plan import Training
from ttzo.host_tools.checkpoint import write_atomically

COLUMNS = ("step", "phase", "loss", "gradient_norm", "evaluations", "seconds", "accuracy", "test_loss")


class MetricsError(TtzoError):
    """A metrics file that is none."""


def settings_text(settings: Training) -> str:
    """The settings as one line of JSON, enumerations by name."""

    def plain(value: Any) -> Any:
        return value.name if hasattr(value, "name") else value

    page = {f.name: plain(getattr(settings, f.name)) for f in dataclasses.fields(settings) if f.name != "phases"}
    page["phases"] = [{f.name: plain(getattr(p, f.name)) for f in dataclasses.fields(p)} for p in settings.phases]
    return json.dumps(page)


def _whole_lines(path: Path) -> list[str]:
    """The lines of the file but one that was cut short."""
    return path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()


def read(path: Path) -> list[dict[str, float | None]]:
    """The steps of a metrics file; a last line that was cut short is left out. Raises `MetricsError`."""
    try:
        lines = _whole_lines(path)
    except OSError as error:
        raise MetricsError(f"there is no metrics file {path} ({error.strerror})", "name the folder of a run") from error
    rows = [line for line in lines if line and not line.startswith("#")]
    if not rows or rows[0] != ",".join(COLUMNS):
        raise MetricsError(f"{path} is not a metrics file of ttzo", "name the folder of a run")
    made = []
    for number, row in enumerate(csv.reader(rows[1:])):
        try:
            values = [float(word) if word else None for word in row]
            made.append(dict(zip(COLUMNS, values, strict=True)))
        except ValueError as error:
            raise MetricsError(f"{path} is damaged at step line {number + 1}", "train again with --restart") from error
    return made


def _word(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


class MetricsFile:
    """The metrics of a run, open for appending."""

    def __init__(self, path: Path, origin: str, settings: Training, step: int):
        """Goes on behind `step` in the file at `path`, or begins it when `step` is 0. `origin` names model and device."""
        kept = self._kept(path, step)
        self.seconds = float(kept[-1].split(",")[COLUMNS.index("seconds")]) if kept and kept[-1][0].isdigit() else 0.0
        head = [f"# from step {step}: {origin}", f"# settings: {settings_text(settings)}"]
        lines = [*kept, *head] if kept else [*head, ",".join(COLUMNS)]
        write_atomically(path, ("\n".join(lines) + "\n").encode())
        self._file = path.open("a", encoding="utf-8")

    @staticmethod
    def _kept(path: Path, step: int) -> list[str]:
        """The lines up to `step`, whole ones only."""
        if not step or not path.exists():
            return []
        kept = []
        for line in _whole_lines(path):
            words = line.split(",")
            if words[0].isdigit() and (len(words) != len(COLUMNS) or int(words[0]) > step):
                break
            kept.append(line)
        return kept if ",".join(COLUMNS) in kept else []

    def write(self, **values: float | None) -> None:
        """One step; float32 numbers keep all their digits."""
        words = [_word(values[name]) for name in COLUMNS]
        self._file.write(",".join(words) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
