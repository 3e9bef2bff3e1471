# SPDX-License-Identifier: MIT
"""All tables and the figure from stored cells, without running any: the paper's numbers, ours, and which are shorter."""

from pathlib import Path

from ttzo.host_tools.research.reproduce import render, tables
from ttzo.host_tools.research.reproduce.cell import Store
from ttzo.host_tools.research.reproduce.tables import Entry, Outcome, Table

CELLS = Path(__file__).parent / "cells"  # those of the repository
NAMES = ("table1", "table2", "table3", "table4", "table5", "table6", "figure1")
HEADING = (
    "network",
    "column",
    "paper",
    "ours",
    "difference",
    "best",
    "seeds",
    "steps",
    "evaluations",
    "MAC",
    "processor",
    "run on",
    "commit",
)
Found = list[tuple[Table, list[Outcome]]]


def collect(store: Store, extent: str) -> Found:
    """Each table with an outcome for each of its entries; one without results was not run."""
    return [(table, [_outcome(table, entry, extent, store) for entry in table.entries]) for table in _tables()]


def _tables() -> list[Table]:
    return [tables.table(name) for name in NAMES]


def _outcome(table: Table, entry: Entry, extent: str, store: Store) -> Outcome:
    found = tables.known(table.name, entry, extent, store)
    return Outcome(entry, tuple(found[seed] for seed in sorted(found)), table.unit)


def rows(table: Table, outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    """`HEADING` for each entry. Where seeds differ: their middle and half their spread."""
    made = []
    for o in outcomes:
        entry, paper = o.entry, render.number(o.entry.paper, table.unit)
        if not o.results:
            made.append(
                (entry.row, entry.column, paper, "–", "–", "–", "–", tables.missing(entry) or "not run", *"–" * 5)
            )
            continue
        made.append(
            (
                entry.row,
                entry.column,
                paper,
                render.number(o.value, table.unit) + _spread(o, table.unit),
                render.difference(o, table.unit),
                render.number(o.best, table.unit),
                ", ".join(str(result.settings["seed"]) for result in o.results),
                f"{100 * o.share:.3g} %",
                render.count(o.mean_of("evaluations")),
                render.count(o.mean_of("macs")),
                _duration(_mean([result.processor_s for result in o.results if result.processor_s])),
                render.field_of(o, "device") or "–",
                _commits(o),
            )
        )
    return made


def _spread(outcome: Outcome, unit: str) -> str:
    return f" ± {render.number(outcome.spread, unit)}" if len(outcome.results) > 1 else ""


def _mean(known: list[float]) -> float:
    return sum(known) / len(known) if known else 0.0


def _duration(seconds: float) -> str:
    if not seconds:
        return "–"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h"


def _commits(outcome: Outcome) -> str:
    copied = any(result.taken_from for result in outcome.results)
    return render.field_of(outcome, "commit") + (", figure copied" if copied else "")


def shorter(found: Found) -> list[str]:
    """The cells that have done fewer steps than the paper's, those that are not run included."""
    lines = []
    for table, outcomes in found:
        for o in outcomes:
            if o.entry.paper is not None and o.share < 1:
                share = f"{100 * o.share:.3g} % of its steps" if o.results else "not run"
                lines.append(f"{table.name}: {o.entry.row}, {o.entry.column}: {share}")
    return lines


def to_markdown(found: Found) -> str:
    """A table for each of the paper's, then the cells that are shorter than the paper's."""
    lines = ["# arXiv 2308.09858: the paper's numbers and ours", "", "`ttzo reproduce all --full`", ""]
    for table, outcomes in found:
        lines += [f"## {table.name}: {table.title}, {table.unit}", ""]
        lines += [f"| {' | '.join(row)} |" for row in (HEADING, ["---"] * len(HEADING), *rows(table, outcomes))]
        lines += ["", "![Accuracy over loss evaluations](figure1.png)", ""] if table.name == "figure1" else [""]
    lines += ["## Shorter than the paper's", "", *(f"- {each}" for each in shorter(found))]
    return "\n".join(lines) + "\n"
