# SPDX-License-Identifier: MIT
"""Draws the README's picture from the stored results: python docs/pictures.py"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

DOCS = Path(__file__).parent
BEFORE, AFTER, INK = "#b8c4d6", "#c8551b", "#333333"


def draw_watch() -> None:
    """Accuracy on each person that the model has not seen, before and after 100 windows of that person."""
    page = json.loads((DOCS / "results" / "sensors-watch.json").read_text(encoding="utf-8"))
    persons = sorted(page["persons"], key=lambda each: each["after"])
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for row, each in enumerate(persons):
        before, after = 100 * each["before"], 100 * each["after"]
        axes.plot([before, after], [row, row], color=BEFORE, linewidth=3, zorder=1)
        axes.scatter([before], [row], s=60, color=BEFORE, zorder=2, label="as it left the laptop" if not row else None)
        axes.scatter(
            [after],
            [row],
            s=60,
            color=AFTER,
            zorder=3,
            label=f"after {page['rows']} windows, on the device" if not row else None,
        )
    mean = page["mean"]
    axes.set_title(
        f"A watch learns its wearer: {100 * mean['before']:.1f} → {100 * mean['after']:.1f} % in the mean of ten persons",
        color=INK,
    )
    axes.set(xlabel="test windows of the person that are right, %", yticks=range(len(persons)))
    axes.set_yticklabels([f"person {each['person']}" for each in persons])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=INK, alpha=0.1)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(DOCS / "watch.png", dpi=120)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    draw_watch()
