# SPDX-License-Identifier: MIT
"""`metrics.csv`: one line a step, behind `#` lines that tell model, device and settings.

A line is written whole and flushed; a run that goes on from a checkpoint first drops the lines behind it, for those
steps are done again, to the same numbers.
"""

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data.whole_file import write_atomically

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
)
# evaluations, seconds, macs and instructions are those of the run until there; macs and instructions are left out where
# nobody counts them
HEADING = ",".join(COLUMNS)


class MetricsError(TtzoError):
    """A metrics file that is none, or that cannot be written."""


def settings_text(settings: Training) -> str:
    """The settings as one line of JSON, enumerations by name."""

    def plain(value: Any) -> Any:
        return value.name if hasattr(value, "name") else value

    page = {f.name: plain(getattr(settings, f.name)) for f in dataclasses.fields(settings) if f.name != "phases"}
    page["phases"] = [{f.name: plain(getattr(p, f.name)) for f in dataclasses.fields(p)} for p in settings.phases]
    return json.dumps(page)


def _whole_lines(path: Path) -> list[str]:
    """The lines of the file but one that was cut short. What is no text becomes a sign that no number holds."""
    return path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0].splitlines()


def _step(line: str) -> dict[str, float | None] | None:
    """The numbers of a step's line by column; None when it is damaged."""
    try:
        values = [float(word) if word else None for word in line.split(",")]
        made = dict(zip(COLUMNS, values, strict=True))
    except ValueError:
        return None
    return None if made["step"] is None else made


def read(path: Path) -> list[dict[str, float | None]]:
    """The steps of a metrics file; a last line that was cut short is left out. Raises `MetricsError`."""
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
        done = [row for line in kept if (row := _step(line))]
        last = done[-1] if done else dict.fromkeys(COLUMNS, 0.0)
        self.seconds = last["seconds"] or 0.0  # of the run until here
        self.macs = int(last["macs"] or 0)
        self.instructions = int(last["instructions"] or 0)
        head = [f"# from step {step}: {origin}", f"# settings: {settings_text(settings)}"]
        lines = [*kept, *head] if kept else [*head, HEADING]
        write_atomically(path, ("\n".join(lines) + "\n").encode())
        self._file = path.open("a", encoding="utf-8")

    @staticmethod
    def _kept(path: Path, step: int) -> list[str]:
        """The lines up to `step`, and before the first that is damaged."""
        if not step or not path.exists():
            return []
        kept = []
        for line in _whole_lines(path):
            if not line.startswith("#") and line != HEADING:
                row = _step(line)
                if row is None or (row["step"] or 0) > step:
                    break
            kept.append(line)
        return kept if HEADING in kept else []

    def write(self, **values: float | None) -> None:
        """One step; float32 numbers keep all their digits. Raises `MetricsError` when the disk does not take it."""
        words = [_word(values[name]) for name in COLUMNS]
        try:
            self._file.write(",".join(words) + "\n")
            self._file.flush()
        except OSError as error:
            raise MetricsError(
                f"{self._file.name} cannot be written ({error.strerror})", "make room on the disk", ExitCode.disk
            ) from error

    def close(self) -> None:
        with suppress(OSError):  # the disk has refused a line before: `write` has said so
            self._file.close()
