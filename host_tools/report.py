# SPDX-License-Identifier: MIT
"""Curves of a run, from its metrics file. The one module that imports matplotlib."""

from pathlib import Path

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools import metrics

INK, LOSS, SMOOTH, TEST = "#333333", "#b8c4d6", "#2b5c9e", "#c8551b"
SMOOTHING = 20  # steps of the running mean, at most a tenth of the run


class ReportError(TtzoError):
    """Curves that cannot be drawn."""


def _running_mean(values: list[float], width: int) -> list[float]:
    """Mean of the last `width` values at each place; of fewer at the beginning."""
    return [sum(values[max(0, i + 1 - width) : i + 1]) / min(i + 1, width) for i in range(len(values))]


def draw(run: Path, out: Path | None = None, title: str = "") -> Path:
    """Draws loss and accuracy of the run in folder `run` over its loss evaluations; the picture is `run/curves.png`.

    Raises `MetricsError` for a folder without metrics, `ReportError` without matplotlib or before the first step.
    """
    rows = metrics.read(run / "metrics.csv")
    if not rows:
        raise ReportError(f"the run in {run} has no step yet", "train first: `ttzo train DIR --device URL`")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError(
            "curves are drawn with matplotlib, which is not installed", "pip install 'ttzo[plot]'"
        ) from error
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    _plot(figure.add_subplot(), rows, title or run.name)
    path = out or run / "curves.png"
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be written ({error})", "name another file: -o curves.png") from error
    return path


def _plot(axes, rows: list[dict], title: str) -> None:
    spent, losses = [row["evaluations"] for row in rows], [row["loss"] for row in rows]
    axes.plot(spent, losses, color=LOSS, linewidth=0.8, label="batch loss")
    axes.plot(
        spent,
        _running_mean(losses, max(1, min(SMOOTHING, len(rows) // 10))),
        color=SMOOTH,
        linewidth=1.8,
        label="batch loss, running mean",
    )
    axes.set(xlabel="loss evaluations spent", ylabel="loss", title=title)
    axes.set_ylim(bottom=0)
    measured = [(row["evaluations"], 100 * row["accuracy"]) for row in rows if row["accuracy"] is not None]
    lines = axes.get_lines()
    if measured:
        right = axes.twinx()
        lines = [
            *lines,
            *right.plot(*zip(*measured, strict=True), "o-", color=TEST, markersize=4, label="accuracy on test rows"),
        ]
        right.set(ylabel="accuracy, %", ylim=(0, 100))
        right.spines[["top", "left"]].set_visible(False)
        right.annotate(
            f"{measured[-1][1]:.1f} %",
            measured[-1],
            xytext=(-4, -14),
            textcoords="offset points",
            ha="right",
            color=TEST,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.1)
    axes.legend(lines, [line.get_label() for line in lines], loc="center right", frameon=False)
