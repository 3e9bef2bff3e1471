# SPDX-License-Identifier: MIT
"""Pictures of a run, drawn by matplotlib: its curves from the metrics file, the confusion of its classes, and of a PDE the
solution beside the exact one."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import solution_points
from ttzo.host_tools.device.device import bundle_path, read_bundle
from ttzo.host_tools.training import answers, checkpoint, metrics, run_model

INK, LOSS, SMOOTH, TEST = "#333333", "#b8c4d6", "#2b5c9e", "#c8551b"
SMOOTHING = 20  # steps of the running mean, at most a tenth of the run
DOTS_PER_INCH = 120
LOOKS = ("o-", "s--")  # of test and of validation rows
MOST_NAMED = 20  # classes whose names and counts stand in the confusion matrix


class ReportError(TtzoError):
    """Curves that cannot be drawn."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What is drawn of a PDE's run. `baselines`: relative L2 errors of the best constant and the best affine function;
    `at_points`: (exact, network) at the validation points; `field` where the domain has one or two dimensions."""

    baselines: dict[str, float]
    at_points: tuple[np.ndarray, np.ndarray] | None
    field: solution_points.Field | None


def draw(run: Path, out: Path | None = None, title: str = "", bundle: Path | None = None) -> Path:
    """Draws the run in folder `run` over its loss evaluations: loss and accuracy, or the error of a PDE's solution with
    the solution itself. The picture is `run/curves.png`. The model lies in `bundle`, by default two folders above.

    Raises `MetricsError` for a folder without metrics, `ReportError` without matplotlib or before the first step, and
    `CheckpointError` where the solution's parameters are damaged or another model's.
    """
    rows, plan = steps_of(run), plan_of(run, bundle)
    figure = whole_figure(run, rows, plan, title)
    path = out or run / "curves.png"
    try:
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{path} cannot be written ({error})", "name another file: -o curves.png", ExitCode.disk
        ) from error
    return path


def steps_of(run: Path) -> list[metrics.Row]:
    """The steps of the run in that folder, one at least. Raises `MetricsError`, `ReportError`."""
    path = run / "metrics.csv"
    if run.is_dir() and not path.exists():
        _require_run(run)
    rows = metrics.read(path)
    if not rows:
        raise ReportError(f"the run in {run} has no steps yet", "train first: `ttzo train DIR --device URL`")
    return rows


def _require_run(folder: Path) -> None:
    """Raises `ReportError` where the folder without metrics is an identification's, or a bundle's that has runs."""
    plan, runs = plan_of(folder, None), run_model.all_of(folder)
    if plan is not None and plan.simulation is not None:
        raise ReportError(
            f"{folder} is of an identification, which has no report", "its answer is what `ttzo identify --json` prints"
        )
    if runs:
        raise ReportError(f"{folder} is no run", f"name a run of it: {', '.join(map(str, runs))}")


def whole_figure(run: Path, rows: list[metrics.Row], plan: Plan | None, title: str) -> Any:
    """All that is drawn of a run, in one picture."""
    if plan is None or plan.pde is None:
        return _learning_figure(rows, answers.load(run), title or _learning_title(run, plan, rows))
    title = title or plan.metadata.get("title") or run.name
    return _solution_figure(rows, _solution(plan, run), title)


def _learning_title(run: Path, plan: Plan | None, rows: list[dict]) -> str:
    model = plan.metadata.get("name", "") if plan else ""
    what = "accuracy and loss" if any(row["accuracy"] is not None for row in rows) else "loss"
    return f"{model or run.name}: {what} over {rows[-1]['step']:,.0f} steps"


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches. Raises `ReportError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError(
            "curves are drawn with matplotlib, which is not installed", "pip install 'ttzo[plot]'"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


# ---- what is drawn ---------------------------------------------------------------------------------------------------


def plan_of(run: Path, bundle: Path | None) -> Plan | None:
    """The model of the run: of `bundle`, else of the run's own folder, else of the one two levels above; None where there
    is none."""
    for folder in (bundle,) if bundle else (run, run.resolve().parent.parent):
        if bundle or bundle_path(folder).is_file():
            return read_bundle(folder)
    return None


def _solution(plan: Plan, run: Path) -> Solution:
    theta = checkpoint.load(run / "checkpoint.npz", plan).parameters
    at, exact = solution_points.validation(plan)
    known = len(at) > 0
    size = math.sqrt(float((exact.astype(float) ** 2).mean())) if known else 0.0
    found = solution_points.baselines(plan, at, exact) if known else {}
    return Solution(
        baselines={name: math.sqrt(mse) / size for name, mse in found.items()},
        at_points=(exact[:, 0], solution_points.solution_at(plan, theta, at)[:, 0]) if known else None,
        field=solution_points.field(plan, theta) if plan.in_features <= 2 else None,
    )


def _running_mean(values: list[float], width: int) -> list[float]:
    """Mean of the last `width` values at each place; of fewer at the beginning."""
    return [sum(values[max(0, i + 1 - width) : i + 1]) / min(i + 1, width) for i in range(len(values))]


def _smoothed(losses: list[float]) -> list[float]:
    return _running_mean(losses, max(1, min(SMOOTHING, len(losses) // 10)))


def _smoothed_log(losses: list[float]) -> list[float]:
    """The same of the logarithms, so that a steep fall is not smeared out."""
    return [math.exp(value) for value in _smoothed([math.log(max(loss, 1e-30)) for loss in losses])]


# ---- learning on rows ------------------------------------------------------------------------------------------------


def _thousands(value: float) -> str:
    if not value:
        return "0"
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} K"


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.1)
    if axes.get_xlim()[1] > 1e4:
        axes.xaxis.set_major_formatter(lambda value, _: _thousands(value))


def _learning_figure(rows: list[dict], found: dict[str, Any] | None, title: str) -> Any:
    """Curves, and what the answers to the test rows are worth: the confusion of classes, or errors in words."""
    if not found or not found.get("confusion"):
        figure = new_figure(8, 4.6)
        plot_learning(figure.add_subplot(), rows, title + _errors_text(found))
        return figure
    figure = new_figure(12.5, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.8, 1))
    plot_learning(left, rows, title)
    plot_answers(right, found)
    return figure


def _errors_text(found: dict[str, Any] | None) -> str:
    if not found or not found.get("rmse"):
        return ""
    names = found.get("targets") or [""] * len(found["rmse"])
    errors = ", ".join(f"{value:.4g} {name}".strip() for value, name in zip(found["rmse"], names, strict=True))
    r2 = ", ".join("-" if value is None else f"{value:.3f}" for value in found["r2"])
    return f"\ntest rows: RMSE {errors}, R2 {r2}"


def plot_answers(axes: Any, found: dict[str, Any]) -> None:
    """Rows of each class by the class that the model answers (`confusion` of answers.py), shaded by their share of the
    class."""
    confusion, names = np.array(found["confusion"], float), [each["name"] for each in found["classes"]]
    balanced = 100 * found["balanced_accuracy"]
    shares = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="answered", ylabel="class", title=f"test rows, balanced accuracy {balanced:.1f} %")
    if len(names) > MOST_NAMED:
        return
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            color = "white" if shares[row, column] > 0.5 else INK
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=color, fontsize=8)


def plot_learning(axes: Any, rows: list[dict], title: str) -> None:
    """Loss of the batches, and what was measured on other rows: accuracy where there are classes, else the loss."""
    spent, losses = [row["evaluations"] for row in rows], [row["loss"] for row in rows]
    axes.plot(spent, losses, color=LOSS, linewidth=0.8, label="batch loss")
    axes.plot(spent, _smoothed(losses), color=SMOOTH, linewidth=1.8, label="batch loss, running mean")
    axes.set(xlabel="loss evaluations spent", ylabel="loss", title=title)
    axes.set_ylim(bottom=0)
    lines = list(axes.get_lines())
    accuracies = _curves(rows, "accuracy", 100.0)
    if accuracies:
        right = axes.twinx()
        for (kind, measured), look in zip(accuracies.items(), LOOKS, strict=False):
            label = f"accuracy on {kind} rows, last {measured[-1][1]:.1f} %"
            lines += right.plot(*zip(*measured, strict=True), look, color=TEST, markersize=4, label=label)
        right.set(ylabel="accuracy, %", ylim=(0, 100))
        right.spines[["top", "left"]].set_visible(False)
    else:
        for (kind, measured), look in zip(_curves(rows, "loss", 1.0).items(), LOOKS, strict=False):
            label = f"loss on {kind} rows, last {measured[-1][1]:.3g}"
            lines += axes.plot(*zip(*measured, strict=True), look, color=TEST, markersize=4, label=label)
    _tidy(axes)
    _legend_below(axes, lines)


def plot_runs(axes: Any, runs: list[tuple[str, list[metrics.Row]]]) -> None:
    """One curve of each run, by its name: accuracy, error or loss of other rows where all of them have measured it twice,
    else the loss of the batches."""
    choices = (
        ("accuracy", 100, "accuracy on test rows, %"),
        ("validation_accuracy", 100, "accuracy on validation rows, %"),
        ("relative_l2", 100, "relative error, %"),
        ("test_loss", 1, "loss on test rows"),
        ("validation_loss", 1, "loss on validation rows"),
        ("loss", 1, "batch loss, running mean"),  # what every run has
    )
    column, unit, label = next(
        choice
        for choice in choices
        if choice == choices[-1] or all(len(_known(rows, choice[0])) > 1 for _, rows in runs)
    )
    for name, rows in runs:
        kept = [(spent, unit * value) for spent, value in _known(rows, column)]
        values = [value for _, value in kept]
        values = _smoothed(values) if column == "loss" else values
        axes.plot([spent for spent, _ in kept], values, linewidth=1.6, label=name)
    axes.set(xlabel="loss evaluations spent", ylabel=label, title=f"{label.partition(',')[0]} of the runs")
    axes.set_yscale("log" if column == "relative_l2" else "linear")
    _tidy(axes)
    _legend_below(axes, axes.get_lines())


def _known(rows: list[metrics.Row], column: str) -> list[tuple[float, float]]:
    """(evaluations, value) of the steps that have measured it, to a number."""
    found = [(row["evaluations"] or 0.0, value) for row in rows if (value := row[column]) is not None]
    return [(spent, value) for spent, value in found if math.isfinite(value)]


def _legend_below(axes: Any, lines: list) -> None:
    """Under the axis, so that it covers no curve."""
    names = [line.get_label() for line in lines]
    axes.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)


def _curves(rows: list[dict], what: str, unit: float) -> dict[str, list[tuple[float, float]]]:
    """(evaluations, value in `unit`s) of test and of validation rows, where there is any."""
    columns = {"test": "accuracy" if what == "accuracy" else "test_loss", "validation": f"validation_{what}"}
    found = {
        kind: [(row["evaluations"], unit * row[column]) for row in rows if row[column] is not None]
        for kind, column in columns.items()
    }
    return {kind: measured for kind, measured in found.items() if measured}


def _name_last(axes: Any, measured: list[tuple[float, float]], text: str, **place: Any) -> None:
    axes.annotate(text, measured[-1], textcoords="offset points", color=TEST, weight="bold", **place)


# ---- the solution of a PDE -------------------------------------------------------------------------------------------


def _solution_figure(rows: list[dict], solution: Solution, title: str) -> Any:
    below = _n_panels(solution) > 0
    figure = new_figure(11, 6.7 if below else 3.6)
    figure.suptitle(title, color=INK, fontsize=13)
    top, *rest = figure.subfigures(2, 1, height_ratios=(1, 1.05)) if below else (figure,)
    plot_error(top.add_subplot(), rows, solution.baselines)
    if below:
        _plot_solution(rest[0], solution, across=True)
    return figure


def solution_figures(run: Path, rows: list[metrics.Row], plan: Plan, width: float, height: float) -> list[Any]:
    """What is drawn of a PDE's run, for a narrow page: the curves, and the panels of the solution one below the other."""
    solution = _solution(plan, run)
    curves = new_figure(width, height)
    axes = curves.add_subplot()
    plot_error(axes, rows, solution.baselines)
    axes.set_title("loss and error of the solution" if solution.at_points else "loss: how far the equation is from met")
    if not (n := _n_panels(solution)):
        return [curves]
    panels = new_figure(width, 0.7 * n * height)
    _plot_solution(panels, solution, across=False)
    return [curves, panels]


def _n_panels(solution: Solution) -> int:
    """Of the solution: at points two, along a line one and its difference, over two dimensions two, with exact values three."""
    if solution.field is None:
        return 2 if solution.at_points else 0
    return len(solution.field.axes) + (solution.field.exact is not None)


def _plot_solution(figure: Any, solution: Solution, across: bool) -> None:
    """The panels side by side, or one below the other."""
    n = _n_panels(solution)
    panels = list(np.atleast_1d(figure.subplots(*((1, n) if across else (n, 1)))))
    if solution.field is None:
        assert solution.at_points is not None
        _plot_scatter(panels, *solution.at_points)
    elif len(solution.field.axes) == 2:
        _plot_field(figure, panels, solution.field)
    else:
        _plot_line(panels, solution.field)


def plot_error(axes: Any, rows: list[dict], baselines: dict[str, float]) -> None:
    """Batch loss and relative error, both logarithmic."""
    spent, losses = [row["evaluations"] for row in rows], [row["loss"] for row in rows]
    axes.semilogy(spent, losses, color=LOSS, linewidth=0.8, label="batch loss")
    axes.semilogy(spent, _smoothed_log(losses), color=SMOOTH, linewidth=1.8, label="batch loss, running mean")
    axes.set(xlabel="loss evaluations spent", ylabel="loss: mean squared residual", xlim=(0, 1.08 * spent[-1]))
    lines = axes.get_lines()
    measured = [(row["evaluations"], 100 * row["relative_l2"]) for row in rows if row["relative_l2"]]
    if measured:
        right = axes.twinx()
        label = "relative L2 error of the solution"
        lines = [*lines, *right.semilogy(*zip(*measured, strict=True), "o-", color=TEST, markersize=4, label=label)]
        for (name, value), style in zip(baselines.items(), ("--", ":"), strict=False):
            if 100 * value > measured[-1][1]:
                label = f"best {name} function instead"
                lines.append(right.axhline(100 * value, color=TEST, linestyle=style, linewidth=1, label=label))
        right.set(ylabel="relative error, %")
        right.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        right.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else "")
        right.spines[["top", "left"]].set_visible(False)
        _name_last(right, measured, f"{measured[-1][1]:.2g} %", xytext=(7, 0), va="center")
    _tidy(axes)
    _legend_below(axes, list(lines))


def _plot_field(figure: Any, places: list[Any], field: solution_points.Field) -> None:
    """The first field, its exact values and the difference over a domain of two dimensions; time runs to the right. Where the
    exact values are not known: lines along the upward axis in their place."""
    timed = field.names[1] == "t"
    right, up = (1, 0) if timed else (0, 1)
    u, exact = field.u[..., 0], None if field.exact is None else field.exact[..., 0]
    whole = [u] if exact is None else [u, exact]
    low, high = min(part.min() for part in whole), max(part.max() for part in whole)
    looks = {"cmap": "viridis", "vmin": low, "vmax": high}
    if low < 0 < high and min(-low, high) > 0.2 * max(-low, high):
        looks = {"cmap": "RdBu_r", "vmin": -max(-low, high), "vmax": max(-low, high)}
    panels = [("network", u, looks)]
    if exact is not None:
        off = u - exact
        most = float(np.abs(off).max()) or 1.0
        panels += [("exact", exact, looks)]
        panels += [("network - exact", off, {"cmap": "PuOr_r", "vmin": -most, "vmax": most})]
    for axes, (name, values, look) in zip(places, panels, strict=False):
        shown = axes.pcolormesh(
            field.axes[right],
            field.axes[up],
            values if timed else values.T,
            shading="gouraud",
            rasterized=True,
            **look,
        )
        axes.set(title=name, xlabel=field.names[right], ylabel=field.names[up])
        bar = figure.colorbar(shown, ax=axes, shrink=0.95, pad=0.02)
        bar.outline.set_visible(False)
        axes.spines[:].set_visible(False)
    if exact is None:
        _plot_cuts(places[1], field, right, up)


def _plot_cuts(axes: Any, field: solution_points.Field, right: int, up: int) -> None:
    """The first field over the upward axis, at the ends and quarters of the other one."""
    values = np.moveaxis(field.u[..., 0], right, 0)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = round(share * (len(values) - 1))
        name = f"{field.names[right]} = {field.axes[right][at]:g}"
        axes.plot(field.axes[up], values[at], color=SMOOTH, alpha=0.25 + 0.75 * share, label=name)
    axes.set(title="network", xlabel=field.names[up], ylabel="u")
    axes.legend(frameon=False, fontsize=8)
    _tidy(axes)


def _plot_line(places: list[Any], field: solution_points.Field) -> None:
    """All fields over the only coordinate and, where it is known, their difference from the exact ones."""
    left, *right = places
    n = field.u.shape[-1]
    for k, colour in zip(range(n), itertools.cycle((SMOOTH, TEST, INK)), strict=False):
        name = f"network, field {k + 1}" if n > 1 else "network"
        if field.exact is not None:
            label = None if k else "exact"
            left.plot(field.axes[0], field.exact[:, k], color=LOSS, linewidth=5, label=label)
            right[0].plot(field.axes[0], field.u[:, k] - field.exact[:, k], color=colour if n > 1 else TEST)
        left.plot(field.axes[0], field.u[:, k], color=colour, linewidth=1.8, label=name)
    left.set(title="solution", xlabel=field.names[0], ylabel="u")
    left.legend(frameon=False)
    _tidy(left)
    for axes in right:
        axes.set(title="network - exact", xlabel=field.names[0])
        _tidy(axes)


def _plot_scatter(places: list[Any], exact: np.ndarray, network: np.ndarray) -> None:
    """Many dimensions: the network's value and its difference against the exact value at the validation points."""
    left, right = places
    ends = [float(exact.min()), float(exact.max())]
    left.plot(ends, ends, color=INK, linewidth=0.8)
    left.scatter(exact, network, s=8, color=SMOOTH, alpha=0.5, linewidths=0)
    left.set(title="solution at the validation points", xlabel="exact u", ylabel="network")
    right.axhline(0.0, color=INK, linewidth=0.8)
    right.scatter(exact, network - exact, s=8, color=TEST, alpha=0.5, linewidths=0)
    right.set(title="network - exact", xlabel="exact u")
    for axes in (left, right):
        _tidy(axes)
