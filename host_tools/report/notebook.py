# SPDX-License-Identifier: MIT
"""Runs in a Jupyter notebook: curves that grow while a device trains, and the picture of a run."""

import io
import time
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.report import pictures
from ttzo.host_tools.training.metrics import COLUMNS, Row
from ttzo.host_tools.training.run import Progress

SECONDS = 0.7  # from one drawing to the next


class Picture:
    """A picture that a notebook shows as the value of a cell."""

    def __init__(self, figure: Any):
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
        self._png = out.getvalue()

    def _repr_png_(self) -> bytes:
        return self._png


def picture(run: str | Path, bundle: str | Path | None = None) -> Picture:
    """The picture of a run's folder: its curves, and the confusion of its classes or the solution of its equation. Raises
    what `pictures.draw` raises."""
    folder = Path(run)
    rows, plan = pictures.steps_of(folder), pictures.plan_of(folder, Path(bundle) if bundle else None)
    return Picture(pictures.whole_figure(folder, rows, plan, ""))


class LiveCurves:
    """For `train(.., report=LiveCurves())`: draws loss and measurements below the cell while the device trains."""

    def __init__(self) -> None:
        """Raises `TtzoError` outside a notebook."""
        try:
            from IPython.display import display
        except ImportError as error:
            raise TtzoError("curves grow in a notebook, and IPython is not installed", "pip install jupyter") from error
        self._display, self._handle, self._drawn = display, None, 0.0
        self._rows: list[Row] = []
        self._seen: dict[str, Any] = {}

    def __call__(self, now: Progress) -> None:
        row: Row = dict.fromkeys(COLUMNS) | {"step": now.step, "loss": now.loss, "evaluations": now.evaluations}
        for kind, measured in (("test", now.test), ("validation", now.validation)):
            if measured is None or self._seen.get(kind) is measured:
                continue
            self._seen[kind] = measured
            row[f"{kind}_loss"] = measured.loss
            if measured.n_judged:
                row["accuracy" if kind == "test" else "validation_accuracy"] = measured.accuracy
            row["relative_l2"] = measured.relative
        self._rows.append(row)
        if now.step == now.steps or time.monotonic() - self._drawn > SECONDS:
            self._drawn = time.monotonic()
            self._draw(now)

    def _draw(self, now: Progress) -> None:
        title = f"step {now.step:,} of {now.steps:,}, {now.rate:.3g} a second"
        figure = pictures.new_figure(7, 3.8)
        if any(row["relative_l2"] for row in self._rows):
            pictures.plot_error(figure.add_subplot(), self._rows, {})
        else:
            pictures.plot_learning(figure.add_subplot(), self._rows, title)
        made = Picture(figure)
        if self._handle is None:
            self._handle = self._display(made, display_id=True)
        else:
            self._handle.update(made)
