# SPDX-License-Identifier: MIT
"""Ways to derivatives, compared: as CSV, Markdown and a picture."""

import csv
import dataclasses
import io
from pathlib import Path

from ttzo.host_tools.report.pictures import ReportError
from ttzo.host_tools.research.reproduce.derivatives import Finding
from ttzo.host_tools.research.reproduce.render import count

TITLES = {
    "derivatives": "Gradient and Laplacian of a network in 20 dimensions, by way and setting",
    "dimensions": "Gradient and Laplacian by way and dimension, float32",
}
HEADING = ("D", "way", "setting", "numbers", "passes", "MAC a point", "gradient", "Laplacian")


def rows(found: list[Finding]) -> list[tuple[str, ...]]:
    """As a person reads them."""
    return [
        (
            str(f.dimension),
            f.way,
            f.setting,
            f.number,
            str(f.passes),
            count(f.macs),
            f"{f.gradient_error:.1e}",
            f"{f.laplacian_error:.1e}",
        )
        for f in found
    ]


def to_csv(found: list[Finding]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Finding)])
    writer.writerows(dataclasses.astuple(each) for each in found)
    return text.getvalue()


def to_markdown(name: str, found: list[Finding], n_points: int) -> str:
    lines = [
        f"# {TITLES[name]}",
        "",
        f"Relative errors, root mean squares over {n_points} points, against jets in double; network D-64-64-1, sines.",
        "",
        *(f"| {' | '.join(row)} |" for row in (HEADING, ["---"] * len(HEADING), *rows(found))),
    ]
    return "\n".join(lines) + "\n"


def draw(name: str, found: list[Finding], path: Path) -> Path:
    """`derivatives`: the Laplacian's error over step or sigma; `dimensions`: cost and error over the dimension. Raises
    `ReportError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError(
            "curves are drawn with matplotlib, which is not installed", "pip install 'ttzo[plot]'"
        ) from error
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    if name == "derivatives":
        for axes, number in ((left, "float32"), (right, "float64")):
            _over_settings(axes, [f for f in found if f.number == number])
            axes.set(
                title=f"error of the derivatives in {number}",
                xlabel="step or sigma",
                ylabel="relative error of the Laplacian",
            )
    else:
        for axes, what, title, label in (
            (left, "macs", "cost", "multiply-accumulates a point"),
            (right, "laplacian_error", "error", "relative error of the Laplacian"),
        ):
            for way in dict.fromkeys(f.way for f in found):
                axes.loglog(
                    *zip(*((f.dimension, getattr(f, what)) for f in found if f.way == way), strict=True),
                    marker=".",
                    label=way,
                )
            axes.set(title=f"{title} over the dimension", xlabel="dimension", ylabel=label)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    (right if name == "derivatives" else left).legend(*left.get_legend_handles_labels(), frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return path


def _over_settings(axes, found: list[Finding]) -> None:
    for way in dict.fromkeys(f.way for f in found):
        points = [(f.setting, f.laplacian_error) for f in found if f.way == way]
        if len(points) > 1:
            axes.loglog(
                [float(setting.split()[1]) for setting, _ in points],
                [y for _, y in points],
                marker=".",
                label=f"{way}, {next(f.passes for f in found if f.way == way)} passes",
            )
        elif points[0][1]:
            axes.axhline(points[0][1], color="black", linewidth=0.8, linestyle=":", label=way)
