# SPDX-License-Identifier: MIT
"""A report of runs: one HTML file that holds all it shows, so that it can be sent and opened anywhere."""

import io
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ttzo.exporter.costs.memory import flash_items, work_items
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.untrusted_file import json_page, read_bytes
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.report import pictures
from ttzo.host_tools.report.pictures import ReportError
from ttzo.host_tools.training import answers, metrics
from ttzo.host_tools.training.metrics import Row

TEMPLATE = "page.html"
ADAPTATION = "adaptation.json"
WIDE, HIGH = 5.4, 3.6  # inches of a picture: its letters are readable where a telephone shows it 360 points wide
MOST_BYTES = 1 << 20  # of an adaptation's file
MOST_PARTS = 8  # named parts of a bar; the rest is one part


@dataclass(frozen=True)
class Part:
    """One consumer of a bar: its share in percent."""

    name: str
    amount: int
    share: float


@dataclass(frozen=True)
class Bar:
    """Where a total goes, largest part first."""

    title: str
    unit: str
    total: int
    parts: tuple[Part, ...]


def write(runs: list[Path], out: Path, bundle: Path | None = None) -> Path:
    """Writes the report of the runs in these folders to `out`. The model of each lies in its folder, or in `bundle`.

    Raises `MetricsError` for a folder without metrics, `ReportError` without matplotlib and jinja2 or before the first
    step, `CheckpointError` where parameters are damaged.
    """
    template = _template()
    sections = [_section(run, bundle) for run in runs]
    _name_apart(sections)
    text = template.render(sections=sections, comparison=_comparison(sections), version=metadata.version("ttzo"))
    write_atomically(out, text.encode())
    return out


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ReportError("a report is made with jinja2, which is not installed", "pip install 'ttzo[plot]'") from error
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.from_string((Path(__file__).parent / TEMPLATE).read_text(encoding="utf-8"))


# ---- one run ---------------------------------------------------------------------------------------------------------


def _section(run: Path, bundle: Path | None) -> dict[str, Any]:
    rows = pictures.steps_of(run)
    plan, found = pictures.plan_of(run, bundle), answers.load(run)
    return {
        "name": run.name,
        "model": (plan.metadata.get("name") or plan.metadata.get("title") if plan else None) or run.name,
        "title": (plan.metadata.get("title") or plan.metadata.get("name") if plan else None) or run.name,
        "origin": metrics.origin(run / "metrics.csv"),
        "facts": _facts(rows, plan, found),
        "pictures": _pictures(run, rows, plan, found),
        "classes": found.get("classes", []) if found else [],
        "bars": _bars(plan) if plan else [],
        "adaptation": _adaptation(run),
        "rows": rows,
    }


def _facts(rows: list[Row], plan: Plan | None, found: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What a person asks first: how good, how long, how large."""
    last = rows[-1]
    made = _quality(rows, found)
    if plan:
        made.append(("parameters", f"{plan.n_parameters:,}"))
        made.append(("bytes of RAM", f"{sum(work_items(plan).values()):,}"))
    made += [("steps", f"{last['step']:,.0f}"), ("loss evaluations", f"{last['evaluations']:,.0f}")]
    made += [(name, _amount(count)) for name in ("macs", "instructions") if (count := last[name])]
    names = {"macs": "multiply-accumulates", "instructions": "instructions of training"}
    return [(names.get(name, name), text) for name, text in made]


def _amount(count: float) -> str:
    """With three digits at least, and no exponent."""
    if count < 1e6:
        return f"{count:,.0f}"
    return f"{count / 1e6:.3g} million" if count < 1e9 else f"{count / 1e6:,.0f} million"


def _quality(rows: list[Row], found: dict[str, Any] | None) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for name, column in (("accuracy", "accuracy"), ("accuracy on validation rows", "validation_accuracy")):
        if (value := _last(rows, column)) is not None:
            made.append((name, f"{100 * value:.1f} %"))
    if found and found.get("balanced_accuracy") is not None:
        made.append(("balanced accuracy", f"{100 * found['balanced_accuracy']:.1f} %"))
    if found and found.get("auc") is not None:
        made.append(("area under the curve", f"{found['auc']:.3f}"))
    if found and found.get("rmse"):
        names = found.get("targets") or [""] * len(found["rmse"])
        values = [f"{value:.4g} {name}".strip() for value, name in zip(found["rmse"], names, strict=True)]
        made.append(("root mean squared error", ", ".join(values)))
    if (error := _last(rows, "relative_l2")) is not None:
        made.append(("relative error", f"{100 * error:.2g} %"))
    return made


def _last(rows: list[Row], column: str) -> float | None:
    return next((row[column] for row in reversed(rows) if row[column] is not None), None)


def _adaptation(run: Path) -> list[tuple[str, str, str]]:
    """Of each set of rows what the model was worth before and after; nothing where the run is no adaptation."""
    try:
        page = json_page(read_bytes(run / ADAPTATION, MOST_BYTES))
        words = (("test", "new data, test rows"), ("held_out", "new data, held out"), ("old", "old data"))
        return [
            (text, _worth(page["before"][name]), _worth(page["after"][name]))
            for name, text in words
            if page["before"].get(name)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # written by hand, or damaged: the report is made without it


def _worth(measured: dict[str, Any]) -> str:
    if measured.get("accuracy") is not None:
        return f"{100 * float(measured['accuracy']):.1f} %"
    return f"loss {float(measured['loss']):.4g}"


def save_adaptation(run: Path, page: dict[str, Any]) -> None:
    """Keeps what an adaptation came to (`before` and `after`) in its run's folder. Raises `DiskError`."""
    write_atomically(run / ADAPTATION, (json.dumps(page, indent=1) + "\n").encode())


def _name_apart(sections: list[dict[str, Any]]) -> None:
    """Runs are called by their folders; where two are alike, by their models too, and where that is not enough by number."""
    for more in ("{0[model]}, {0[name]}", "{0[name]} ({1})"):
        names = [each["name"] for each in sections]
        if len(set(names)) < len(names):
            for number, each in enumerate(sections, 1):
                each["name"] = more.format(each, number)


# ---- where bytes and operations go -----------------------------------------------------------------------------------


def _bars(plan: Plan) -> list[Bar]:
    bars = [
        _bar("RAM: the work buffer", "bytes", work_items(plan)),
        _bar("flash: the model's data, without code", "bytes", flash_items(plan)),
        _bar(
            "a forward pass",
            "multiply-accumulates",
            {_node_name(node): node.operation.macs for node in plan.graph.nodes},
        ),
    ]
    return [bar for bar in bars if bar.total]


def _node_name(node: Node) -> str:
    return f"layer {node.name}" if isinstance(node.operation, Affine) else node.name


def _bar(title: str, unit: str, items: dict[str, int]) -> Bar:
    ordered = sorted(((n, name) for name, n in items.items() if n), reverse=True)
    named, rest = ordered[:MOST_PARTS], sum(n for n, _ in ordered[MOST_PARTS:])
    total = sum(n for n, _ in ordered)
    amounts = [*named, *([(rest, "all other parts")] if rest else [])]
    return Bar(title, unit, total, tuple(Part(name, n, 100 * n / total) for n, name in amounts))


# ---- pictures --------------------------------------------------------------------------------------------------------


def _pictures(run: Path, rows: list[Row], plan: Plan | None, found: dict[str, Any] | None) -> list[Any]:
    """Each as SVG: an HTML file holds it without a second file."""
    if plan is not None and plan.pde is not None:
        return [_svg(figure) for figure in pictures.solution_figures(run, rows, plan, WIDE, HIGH)]
    figure = pictures.new_figure(WIDE, HIGH)
    pictures.plot_learning(figure.add_subplot(), rows, "the batches' loss, and other rows")
    made = [_svg(figure)]
    if found and found.get("confusion"):
        figure = pictures.new_figure(WIDE, 0.85 * WIDE)
        pictures.plot_answers(figure.add_subplot(), found)
        made.append(_svg(figure))
    return made


def _svg(figure: Any) -> Any:
    from markupsafe import Markup

    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue().decode()
    return Markup(text[text.index("<svg") :])  # without the XML declaration


def _comparison(sections: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Curves of all runs in one picture, and their facts side by side; None of a single run."""
    if len(sections) < 2:
        return None
    figure = pictures.new_figure(WIDE, HIGH)
    pictures.plot_runs(figure.add_subplot(), [(each["name"], each["rows"]) for each in sections])
    names = list(dict.fromkeys(name for each in sections for name, _ in each["facts"]))
    table = [(name, [dict(each["facts"]).get(name, "–") for each in sections]) for name in names]
    return {"picture": _svg(figure), "runs": [each["name"] for each in sections], "table": table}
