# SPDX-License-Identifier: MIT
"""A table with the paper's numbers beside ours: as CSV, Markdown and a picture."""

import csv
import io
import math
from pathlib import Path

from ttzo.host_tools.report.pictures import ReportError
from ttzo.host_tools.research.reproduce.tables import Entry, Outcome, Table

MILESTONES = (50, 80, 85, 90, 95, 97)  # accuracies whose price is given, %
MEASURES = {"%": "test accuracy, %", "MSE": "mean squared error"}
HEADING = (
    "network",
    "column",
    "paper",
    "ours",
    "difference",
    "best",
    "spread",
    "seeds",
    "done",
    "loss evaluations",
    "multiply-accumulates",
    "seconds",
    "commit",
    "device",
)


def number(value: float | None, unit: str) -> str:
    """A measure for a person: two decimals of a percentage, two digits of an error."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "diverges"
    return f"{value:.2f}" if unit == "%" else f"{value:.2e}"


def difference(outcome: Outcome, unit: str) -> str:
    """Ours against the paper's: percentage points, or the ratio of errors."""
    paper, ours = outcome.entry.paper, outcome.value
    if paper is None or not math.isfinite(paper) or not math.isfinite(ours):
        return "–"
    return f"{ours - paper:+.2f}" if unit == "%" else f"x{ours / paper:.2g}"


def count(value: float) -> str:
    """12.3 K, 4.5 M, 1.1e12."""
    for limit, unit, name in ((1e3, 1, ""), (1e6, 1e3, " K"), (1e9, 1e6, " M")):
        if value < limit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.2e}"


def done(outcome: Outcome) -> str:
    """ "yes", or the share of the steps that are."""
    return "yes" if outcome.share >= 1 else f"{100 * outcome.share:.0f} %, unfinished"


def field_of(outcome: Outcome, field: str) -> str:
    """What the results of the seeds say of themselves, each once, joined by ", "."""
    return ", ".join(sorted({getattr(result, field) for result in outcome.results} - {""}))


def to_csv(table: Table, outcomes: list[Outcome]) -> str:
    """One line an entry, all its numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADING)
    for outcome in outcomes:
        entry, value = outcome.entry, outcome.value
        off = "" if entry.paper is None or math.isnan(value) else value - entry.paper
        writer.writerow(
            [entry.row, entry.column, "" if entry.paper is None else entry.paper, value, off]
            + [outcome.best, outcome.spread]
            + [len(outcome.results), round(outcome.share, 4)]
            + [outcome.mean_of(field) for field in ("evaluations", "macs", "seconds")]
            + [field_of(outcome, "commit"), field_of(outcome, "device")]
        )
    return text.getvalue()


def to_markdown(table: Table, outcomes: list[Outcome], extent: str) -> str:
    """The paper's layout, "ours (paper's)" in each place, where half of its places are ever filled; then a line for each
    cell with its costs."""
    source = f"{table.source} of arXiv 2308.09858" if table.source else "No table of the paper"
    lines = [f"# {table.title}", "", f"{source}; `--{extent}`; ours is the last measure, best the best on the way.", ""]
    if 2 * len(table.entries) >= len(table.rows) * len(table.columns):
        lines += _layout(table, outcomes)
    heading = "cell", f"ours, {table.unit}", "best", "paper", "difference", "evaluations", "MAC", "seconds", "done"
    lines += _row(*heading) + _row(*["---"] * len(heading))
    for o in outcomes:
        name = f"{o.entry.row}, {o.entry.column}"
        costs = count(o.mean_of("evaluations")), count(o.mean_of("macs")), f"{o.mean_of('seconds'):.0f}"
        measures = [number(value, table.unit) for value in (o.value, o.best, o.entry.paper)]
        lines += _row(name, *measures, difference(o, table.unit), *costs, done(o))
    lines += _milestones(outcomes) if table.unit == "%" else []
    return "\n".join([*lines, *_not_run(table, outcomes), *_origin(outcomes)]) + "\n"


def _layout(table: Table, outcomes: list[Outcome]) -> list[str]:
    at = {outcome.entry: outcome for outcome in outcomes}
    places = {(entry.row, entry.column): _place(at.get(entry), entry, table.unit) for entry in table.entries}
    lines = ["In brackets the paper's; `*`: unfinished.", ""]
    lines += _row("network", *table.columns) + _row(*["---"] * (1 + len(table.columns)))
    for row in table.rows:
        lines += _row(row, *(places.get((row, column), "") for column in table.columns))
    return [*lines, ""]


def _not_run(table: Table, outcomes: list[Outcome]) -> list[str]:
    there = {outcome.entry for outcome in outcomes}
    left = [f"{entry.row}, {entry.column}" for entry in table.entries if entry not in there]
    return ["", f"Not run: {'; '.join(left)}."] if left else []


def _origin(outcomes: list[Outcome]) -> list[str]:
    results, lines = [result for outcome in outcomes for result in outcome.results], []
    for name, field in (("Commits", "commit"), ("Devices", "device")):
        found = sorted({getattr(result, field) for result in results} - {""})
        lines += ["", f"{name}: {', '.join(found)}."] if found else []
    return lines


def _milestones(outcomes: list[Outcome]) -> list[str]:
    """What each method had spent when it was first measured at an accuracy."""
    reached = [{least: first_at(o, least) for least in MILESTONES} for o in outcomes]
    columns = [least for least in MILESTONES if any(each[least] for each in reached)]
    if not columns:
        return []
    lines = [
        "",
        "Loss evaluations (multiply-accumulates) when an accuracy was first measured; seeds that reached it:",
        "",
    ]
    lines += _row("cell", *(f"{least} %" for least in columns)) + _row(*["---"] * (1 + len(columns)))
    for o, each in zip(outcomes, reached, strict=True):
        places = [each[least] for least in columns]
        written = [f"{count(spent[0])} ({count(spent[1])})" if spent else "–" for spent in places]
        lines += _row(f"{o.entry.row}, {o.entry.column}", *written)
    return lines


def first_at(outcome: Outcome, least: float) -> tuple[float, float] | None:
    """Evaluations and multiply-accumulates of the first measurement of at least that, mean over the seeds that have one."""
    firsts = [next((m for m in result.history if m.value >= least), None) for result in outcome.results]
    found = [each for each in firsts if each is not None]
    if not found:
        return None
    return sum(m.evaluations for m in found) / len(found), sum(m.macs for m in found) / len(found)


def _row(*cells: str) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _place(outcome: Outcome | None, entry: Entry, unit: str) -> str:
    paper = "" if entry.paper is None else f" ({number(entry.paper, unit)})"
    if outcome is None:
        return f"–{paper}"
    return f"{number(outcome.value, unit)}{'' if outcome.share >= 1 else '*'}{paper}"


def draw(table: Table, outcomes: list[Outcome], path: Path) -> Path:
    """Curves of the measure over loss evaluations, one for each entry that was measured, the paper's number dotted; of
    `ranks` the measures over the rank. Raises `ReportError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "pip install 'ttzo[plot]'"
        raise ReportError("curves are drawn with matplotlib, which is not installed", hint) from error
    if table.name == "ranks":
        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        _over_ranks(figure, outcomes)
        figure.savefig(path, dpi=120)
        return path
    rows = [row for row in table.rows if any(_points(o) for o in outcomes if o.entry.row == row)] or table.rows[:1]
    figure = Figure(figsize=(5 * min(3, len(rows)), 3.6 * math.ceil(len(rows) / 3)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, row in enumerate(rows):
        axes = figure.add_subplot(math.ceil(len(rows) / 3), min(3, len(rows)), place + 1)
        for outcome in outcomes:
            if outcome.entry.row == row:
                _curve(axes, outcome)
        measure = MEASURES.get(table.unit, table.unit)
        axes.set(title=f"{row}: {measure.partition(',')[0]}", xlabel="loss evaluations", ylabel=measure, xscale="log")
        if table.unit != "%":
            axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_lines():
            axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return path


def _curve(axes, outcome: Outcome) -> None:
    color, paper = None, outcome.entry.paper
    for points in _points(outcome):
        marker = "o" if len(points) == 1 else ""  # a line of one point is not seen
        label = outcome.entry.column if color is None else None
        (line,) = axes.plot(*zip(*points, strict=True), linewidth=1.2, marker=marker, color=color, label=label)
        color = line.get_color()
    if color and paper is not None and math.isfinite(paper):
        axes.axhline(paper, color=color, linewidth=0.8, linestyle=":", label=f"{outcome.entry.column}, the paper")


def _points(outcome: Outcome) -> list[list[tuple[int, float]]]:
    """Of each seed that was measured: loss evaluations and finite measures, without the start."""
    made = [
        [(each.evaluations, each.value) for each in result.history if each.evaluations and math.isfinite(each.value)]
        for result in outcome.results
    ]
    return [points for points in made if points]


def _over_ranks(figure, outcomes: list[Outcome]) -> None:
    """A panel for each data set, a line for each method, of what was run at all."""
    data = {outcome.entry.row.partition("-r")[0]: None for outcome in outcomes}
    for axes, name in zip(figure.subplots(1, len(data), squeeze=False)[0], data, strict=True):
        curves: dict[str, list[tuple[int, float]]] = {}
        for outcome in outcomes:
            of, _, rank = outcome.entry.row.partition("-r")
            if of == name and outcome.share > 0:
                curves.setdefault(outcome.entry.column, []).append((int(rank), outcome.value))
        for column, points in curves.items():
            axes.plot(*zip(*points, strict=True), marker=".", label=column)
        axes.set(title=f"accuracy over the rank: {name}", xlabel="rank of both layers", ylabel="test accuracy, %")
        axes.spines[["top", "right"]].set_visible(False)
        if curves:
            axes.legend(frameon=False, fontsize=8)
