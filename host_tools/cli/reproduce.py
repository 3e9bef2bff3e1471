# SPDX-License-Identifier: MIT
"""`ttzo reproduce`: the paper's tables and figure, its numbers beside ours, and studies of what it leaves open."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.unread import refuse_unread

PAPERS = ("table1", "table2", "table3", "table4", "table5", "table6", "figure1")
WAYS = ("derivatives", "dimensions")
NAMES = (*PAPERS, "all", "gpu", "ranks", "hybrid", *WAYS, "speed", "identification")
N_POINTS = {"quick": 20, "full": 200}  # where derivatives are compared
BUDGET_S = {"quick": 45.0, "full": math.inf}
OF_CELLS = ("quick", "seeds", "out", "cells", "budget", "only", "gpu", "threads")
READ = {  # the options that mean something to a TABLE; to one that is not here all do
    **dict.fromkeys(("table4", "table5", "table6"), OF_CELLS),  # equations: no data
    "all": ("quick", "out", "cells"),
    "gpu": ("data", "out", "cells", "budget", "gpu", "threads"),
    "derivatives": ("quick", "out", "threads"),
    "dimensions": ("quick", "out", "threads"),
    "speed": ("quick", "out", "threads"),
    "identification": ("quick", "seeds", "out"),
}


@click.command("reproduce")
@click.argument("name", metavar="TABLE", type=click.Choice(NAMES))
@click.option("--quick/--full", default=True, show_default=True,
              help="Short runs of a few minutes in all, or the paper's numbers of epochs.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each cell.")
@click.option("--data", help="A folder with MNIST's four IDX files; they are downloaded when it is not given.")
@click.option("-o", "--out", metavar="DIR", type=click.Path(path_type=Path), default=Path("ttzo-reproduce"),
              show_default=True, help="Folder of the results.")  # fmt: skip
@click.option("--cells", metavar="DIR", type=click.Path(path_type=Path),
              help="Folder of the cells (default: cells in --out; for `all`, the repository's).")  # fmt: skip
@click.option("--budget", metavar="SECONDS", type=click.FloatRange(0),
              help="Most seconds for one cell of one seed in this call (default: 45 with --quick, no limit with --full); "
                   "for `gpu`, of all its cells together (default: 600).")  # fmt: skip
@click.option("--only", metavar="TEXT", multiple=True,
              help="Run only the cells of this network or column, or whose `network, column` contains this text; "
                   "the others are printed as they are.")  # fmt: skip
@click.option("--gpu/--no-gpu", default=None, help="Whether the cells run on a GPU (default: if torch finds one).")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of torch on the CPU.")
@command
def reproduce_command(
    screen: Screen,
    name: str,
    quick: bool,
    seeds: int,
    data: str | None,
    out: Path,
    cells: Path | None,
    budget: float | None,
    only: tuple[str, ...],
    gpu: bool | None,
    threads: int,
) -> dict:
    """Run a table or the figure of arXiv 2308.09858 again and write NAME.csv, NAME.md and NAME.png.

    \b
    TABLE is one of
      table1 .. table6, figure1: the paper's
      all          these seven as they are stored, and
                   which are shorter; no cell runs
      gpu          the cells that gain most on a GPU, at
                   the paper's steps
      ranks        accuracy over rank
      hybrid       when the hybrid pays
      derivatives  differences, sparse grids, samples and
                   jets at their settings
      dimensions   their cost and error, 2 to 100
                   dimensions
      speed        processor time of a step on the
                   equation: torch and native:
      identification
                   constants of the zoo's simulations from
                   noisy logs, beside Nelder-Mead: one log
                   of each, with --full ten

    Each cell is saved while it runs: after Ctrl-C, or with a new budget, the same command goes on from there. A cell
    that several tables share is run once. --quick says little about accuracy: it runs three of the paper's hundred
    epochs, or 10 points instead of 100.
    """
    refuse_unread(name, ("name", *READ.get(name, (*OF_CELLS, "data"))))
    if name == "identification":
        return _identification(screen, max(seeds, 1 if quick else 10), out)
    from ttzo.exporter.readers.nn import torch
    from ttzo.host_tools.research.reproduce import cell, tables
    from ttzo.host_tools.research.reproduce.tables import Outcome

    torch.set_num_threads(threads)
    if name in WAYS:
        return _ways_to_derivatives(screen, name, quick, out)
    extent = "quick" if quick else "full"
    if name == "speed":
        return _speed(screen, extent, out)
    if name == "all":
        return _stored(screen, extent, cells, out)
    store = cell.Store(cells or out / "cells")
    if name == "gpu":
        return _on_gpu(screen, store, cell.choose_device(gpu is not False), budget, data)
    device = cell.choose_device(gpu)
    limit = BUDGET_S[extent] if budget is None else budget
    table = tables.table(name)
    wanted = _runnable(screen, _wanted(table, only))
    results = {entry: tables.known(name, entry, extent, store) for entry in table.entries}
    runs = [(entry, seed) for entry in wanted for seed in range(seeds)]
    make = partial(tables.cell, name, extent=extent, source=data, device=device)
    stopped = _run_cells(screen, runs, make, store, limit, table.unit, results)
    outcomes = [Outcome(entry, tuple(found.values()), table.unit) for entry, found in results.items() if found]
    paths = _write(screen, table, outcomes, extent, out)
    if stopped:
        raise KeyboardInterrupt
    return {"table": name, "extent": extent, "files": paths, "cells": [_as_json(outcome) for outcome in outcomes]}


def _run_cells(
    screen: Screen, runs: list, make: Callable, store, limit: float, unit: str, results: dict[Any, dict]
) -> bool:
    """Runs the cells that `make(entry, seed=seed)` makes of `runs`, each for `limit` seconds at most, into
    results[entry][seed]. Whether the person stopped it: the rest is then taken as it is stored."""
    from ttzo.host_tools.research.reproduce import cell, render

    clock, stopped = _TimeLeft(len(runs)), False
    with screen.bars() as bars:
        for entry, seed in runs:
            made = make(entry, seed=seed)
            bar = bars(f"{entry.row}, {entry.column}, seed {seed} ({clock.left()})", "steps")
            try:
                found = cell.run(made, store, 0 if stopped else limit, bar)
            except KeyboardInterrupt:
                stopped, found = True, store.result(made)
            bar(1, 1, f"{render.number(found.value, unit)} {unit}, steps done: {100 * found.share:.3g} %")
            clock.one_more()
            results[entry][seed] = found
    return stopped


def _wanted(table, only: tuple[str, ...]) -> list:
    """The entries that `--only` names: those of a network or column of just that name where there is one, otherwise those
    that contain the text. Raises `ReproduceError` when nothing does."""
    from ttzo.host_tools.research.reproduce.cell import ReproduceError

    found = set() if only else set(table.entries)
    for text in only:
        named = {e for e in table.entries if text in (e.row, e.column)}
        named = named or {e for e in table.entries if text in f"{e.row}, {e.column}"}
        if not named:
            there = ", ".join((*table.rows, *table.columns))
            raise ReproduceError(f"{table.name} has no cell {text!r}", f"its networks and columns: {there}")
        found |= named
    return [entry for entry in table.entries if entry in found]


def _runnable(screen: Screen, wanted: list) -> list:
    """The entries that this version can run; prints why it cannot run the others."""
    from ttzo.host_tools.research.reproduce import tables

    for entry in wanted:
        if tables.missing(entry):
            screen.say(f"left out: {entry.row}, {entry.column}: {tables.missing(entry)}")
    return [entry for entry in wanted if not tables.missing(entry)]


class _TimeLeft:
    """How long the rest will take, estimated from the cells before."""

    def __init__(self, total: int):
        self.total, self.done, self.began = total, 0, time.monotonic()

    def one_more(self) -> None:
        self.done += 1

    def left(self) -> str:
        place = f"cell {self.done + 1} of {self.total}"
        if not self.done:
            return place
        seconds = (time.monotonic() - self.began) / self.done * (self.total - self.done)
        left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        return f"{place}, about {left} left"


def _write(screen: Screen, table, outcomes: list, extent: str, out: Path) -> list[Path]:
    from ttzo.host_tools.research.reproduce import render

    rows = [
        (
            f"{o.entry.row}, {o.entry.column}",
            render.number(o.value, table.unit),
            render.number(o.best, table.unit),
            render.number(o.entry.paper, table.unit),
            render.difference(o, table.unit),
            render.count(o.mean_of("evaluations")),
            render.count(o.mean_of("macs")),
            render.done(o),
        )
        for o in outcomes
    ]
    screen.table(
        table.title, rows, ("cell", f"ours, {table.unit}", "best", "paper", "difference", "evaluations", "MAC", "done")
    )
    texts = {"csv": render.to_csv(table, outcomes), "md": render.to_markdown(table, outcomes, extent)}
    return _written(screen, out / f"{table.name}.{extent}", texts, lambda path: render.draw(table, outcomes, path))


def _written(
    screen: Screen, stem: Path, texts: dict[str, str], draw: Callable[[Path], object], picture: str = ""
) -> list[Path]:
    """The texts by their suffixes, and the picture, of a name of its own or of theirs, where matplotlib is installed."""
    from ttzo.host_tools.report.pictures import ReportError

    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in texts]
    paths.append(stem.with_name(picture or f"{stem.name}.png"))
    for path, text in zip(paths, texts.values(), strict=False):
        path.write_text(text, encoding="utf-8")
    try:
        draw(paths[-1])
    except ReportError as error:
        screen.say(f"{error}; {error.hint}")
        paths.pop()
    screen.say(f"written: {', '.join(map(str, paths))}")
    return paths


def _ways_to_derivatives(screen: Screen, name: str, quick: bool, out: Path) -> dict:
    from ttzo.host_tools.research.reproduce import derivatives, render_derivatives

    out.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=out).close()  # a folder that cannot be written is reported before the work, not after it
    n_points = N_POINTS["quick" if quick else "full"]
    measure = derivatives.by_settings if name == "derivatives" else derivatives.by_dimensions
    with screen.bars() as bars:
        bar, found = bars(name, "settings"), []
        for each in measure(n_points):
            found.append(each)
            bar(len(found), len(found) + 1)
        bar(len(found), len(found))
    screen.table(render_derivatives.TITLES[name], render_derivatives.rows(found), render_derivatives.HEADING)
    texts = {
        "csv": render_derivatives.to_csv(found),
        "md": render_derivatives.to_markdown(name, found, n_points),
    }
    paths = _written(screen, out / name, texts, lambda path: render_derivatives.draw(name, found, path))
    return {"study": name, "points": n_points, "files": paths, "findings": [dataclasses.asdict(f) for f in found]}


def _stored(screen: Screen, extent: str, cells: Path | None, out: Path) -> dict:
    """The six tables and the figure from the cells of a folder. Raises `ReproduceError` where it has none."""
    from ttzo.host_tools.research.reproduce import render, stored
    from ttzo.host_tools.research.reproduce.cell import ReproduceError, Store

    folder = cells or stored.CELLS
    found = stored.collect(Store(folder), extent) if folder.is_dir() else []
    if not any(o.results for _, outcomes in found for o in outcomes):
        longer = "add --full, or " if extent == "quick" else ""
        raise ReproduceError(f"{folder} has no cells of --{extent}", f"{longer}give a folder of cells by --cells")
    for table, outcomes in found:
        rows = [(f"{row[0]}, {row[1]}", *row[2:8], row[10]) for row in stored.rows(table, outcomes)]
        screen.table(f"{table.name}: {table.title}, {table.unit}", rows, ("cell", *stored.HEADING[2:8], "processor"))
        screen.tell("")
    short = stored.shorter(found)
    screen.tell(f"Shorter than the paper's, {len(short)} cells:")
    for each in short:
        screen.tell(f"  {each}")
    figure, curves = found[-1]
    texts = {"md": stored.to_markdown(found)}
    paths = _written(screen, out / "paper", texts, lambda path: render.draw(figure, curves, path), "figure1.png")
    cells_of = {table.name: [_as_json(o) for o in outcomes if o.results] for table, outcomes in found}
    return {"tables": cells_of, "shorter": short, "files": paths}


def _on_gpu(screen: Screen, store, device, budget: float | None, data: str | None) -> dict:
    """The cells of `gpu.PLAN`, each for its share of the seconds."""
    from ttzo.host_tools.research.reproduce import cell, gpu, render, tables

    lines = []
    with screen.bars() as bars:
        for table, entry, seconds in gpu.turns(gpu.BUDGET_S if budget is None else budget):
            made = tables.cell(table.name, entry, "full", 0, data, device)
            found = cell.run(made, store, seconds, bars(f"{table.name}: {entry.row}, {entry.column}", "steps"))
            lines.append((f"{entry.row}, {entry.column}", render.number(found.value, table.unit),
                         render.number(entry.paper, table.unit), f"{100 * found.share:.3g} %",
                         f"{found.seconds:.0f} s", found.device))  # fmt: skip
    screen.table("Cells on a GPU", lines, ("cell", "ours", "paper", "steps", "seconds", "run on"))
    return {"device": cell.name_of(device), "cells": [list(row) for row in lines]}


def _speed(screen: Screen, extent: str, out: Path) -> dict:
    from ttzo.host_tools.research.reproduce import speed

    with screen.bars() as bars:
        bar, found, total = bars("speed", "cells"), [], len(speed.NETWORKS) * len(speed.DERIVATIVES)
        for each in speed.paces(extent):
            found.append(each)
            bar(len(found), total, f"{each.network}, {each.derivative}: {each.ratio:.2f}")
    screen.table("Processor time of a step", speed.rows(found), speed.HEADING)
    path = out / "speed.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(speed.to_markdown(found), encoding="utf-8")
    screen.say(f"written: {path}")
    return {"paces": [dataclasses.asdict(each) for each in found], "files": [path]}


def _identification(screen: Screen, n_seeds: int, out: Path) -> dict:
    from ttzo.host_tools.research.reproduce import identification

    with screen.bars() as bars:
        bar, found = bars("identification", "logs"), []
        for each in identification.fits(n_seeds):
            found.append(each)
            bar(len(found), len(identification.CASES) * n_seeds)
    screen.table("Constants from logs", identification.rows(found), identification.HEADING)
    for verdict in identification.verdicts(found):
        screen.tell(verdict)
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "identification.md": identification.to_markdown(found),
        "identification.json": identification.to_json(found),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
        screen.say(f"written: {out / name}")
    return {"fits": [dataclasses.asdict(each) for each in found], "files": [out / name for name in texts]}


def _as_json(outcome) -> dict:
    from ttzo.host_tools.research.reproduce import render

    return {
        "network": outcome.entry.row,
        "column": outcome.entry.column,
        "paper": outcome.entry.paper,
        "ours": outcome.value,
        "best": outcome.best,
        "spread": outcome.spread,
        "share_done": outcome.share,
        "evaluations": outcome.mean_of("evaluations"),
        "macs": outcome.mean_of("macs"),
        "seconds": outcome.mean_of("seconds"),
        "commit": render.field_of(outcome, "commit"),
        "device": render.field_of(outcome, "device"),
    }
