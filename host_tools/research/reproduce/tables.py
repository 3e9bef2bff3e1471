# SPDX-License-Identifier: MIT
"""The paper's tables and figure: their numbers, and the cells that make ours. Studies of what it leaves open are tables
without its numbers."""

import itertools
import math
import statistics
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.reproduce.cell import CPU, Cell, ReproduceError, Result, Store
from ttzo.host_tools.research.reproduce.mnist_cells import RANKS

MNIST = ("table1", "table2", "table3", "figure1", "ranks", "hybrid")
STUDIES: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {  # title, columns of each row
    "ranks": (
        "Test accuracy over the rank of both layers",
        {f"{data}-r{rank}": ("adam", "sign_rge", "cge") for data in ("digits", "mnist") for rank in RANKS},
    ),
    "hybrid": (
        "Test accuracy of the hybrid (@3: changing over after 3 epochs at the latest) and of its halves alone",
        {
            "digits-r3": ("sign_rge", "hybrid@1", "hybrid@3", "hybrid@10", "hybrid@30", "cge"),
            "tt-3962": ("sign_rge", "hybrid", "cge"),
        },
    ),
}
COLUMNS = {
    "table1": ("first_order", "sign_rge", "hybrid"),
    "table2": ("first_order", "rge", "sign_rge", "hybrid"),
    "table3": ("hybrid", "flops", "stp", "szo_scd", "fg_w", "lg_fg_a", "fa", "dfa"),
    "table4": ("ad", "fd", "se", "sg"),
    "table5": ("fd", "se", "sg", "jet"),
    "table6": ("first_order", "zeroth_order"),
    "figure1": ("first_order", "rge", "sign_rge", "hybrid"),
} | {name: tuple(dict.fromkeys(itertools.chain(*rows.values()))) for name, (_, rows) in STUDIES.items()}
OWN = ("subspace_gn", "coordinate_gn")  # our own zeroth-order estimators for the equation
_OF_TABLE5 = ("hjb-mlp", "hjb-tt-7745", "hjb-tt-3209", "hjb-mlp-608256", "hjb-tt-7744", "hjb-tt-3208")
_OF_TABLE6 = ("hjb-mlp", "hjb-fc3-78", "hjb-fc2-320", "hjb-tt-7745", "hjb-fc3-7956", "hjb-fc2-7360")
# what the paper's tables do not have and ours do: pruned weights set to zero, rivals on its tensor-train network, and our
# own estimators on the equation, also without the output's bias
BEYOND: dict[str, dict[str, tuple[str, ...]]] = {
    "table1": {"sp-4089": ("hybrid_fast",), "sp-4089-zero": COLUMNS["table1"]},
    "table3": {"tt-3962": ("node_perturbation", "cocd", "deepzero", "fzoo", "cge", "forward_gradient")},
    "table5": dict.fromkeys(_OF_TABLE5, OWN),
    "table6": dict.fromkeys(_OF_TABLE6, OWN) | {"hjb-sp-7603-zero": COLUMNS["table6"]},
}
BEYOND_COLUMNS = ("hybrid_fast", "cge", "node_perturbation", "cocd", "deepzero", "fzoo", "forward_gradient", *OWN)
DERIVATIVE_OF = {"first_order": "ad", "zeroth_order": "sg"}  # table 6


@dataclass(frozen=True)
class Entry:
    """One place of a table: the paper's number (None: it gives none; infinite: it diverged), and where ours comes from."""

    row: str
    column: str
    paper: float | None


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    unit: str
    source: str
    entries: tuple[Entry, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        there = {entry.column for entry in self.entries}
        order = dict.fromkeys((*COLUMNS[self.name], *BEYOND_COLUMNS))
        return tuple(column for column in order if column in there)

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.row for entry in self.entries))


@cache
def _numbers() -> dict:
    return tomllib.loads(files("ttzo.host_tools.research.reproduce").joinpath("paper.toml").read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    return tuple(COLUMNS)


def table(name: str) -> Table:
    """The table of that name with the paper's numbers. Raises `ReproduceError` for another name."""
    if name not in COLUMNS:
        raise ReproduceError(f"the paper has no {name!r}", f"choose one of {', '.join(COLUMNS)}")
    if name in STUDIES:
        title, rows = STUDIES[name]
        return Table(
            name, title, "%", "", tuple(Entry(r, column, None) for r, columns in rows.items() for column in columns)
        )
    page, beyond, entries = _numbers()[name], BEYOND.get(name, {}), []
    for row in dict.fromkeys((*page["rows"], *beyond)):
        numbers = page["rows"].get(row, {})
        columns = COLUMNS[name] if name not in ("table2", "table3") else tuple(c for c in COLUMNS[name] if c in numbers)
        columns = (columns if row in page["rows"] else ()) + beyond.get(row, ())
        entries += [Entry(row, column, numbers.get(column)) for column in columns]
    return Table(name, page["title"], page["unit"], page["source"], tuple(entries))


def cell(name: str, entry: Entry, extent: str, seed: int, source: str | None, device: torch.device = CPU) -> Cell:
    """The cell of an entry of table `name`; `source`: the folder of MNIST."""
    if name in MNIST:
        from ttzo.host_tools.research.reproduce import mnist_cells

        return mnist_cells.cell(entry.row, entry.column, extent, seed, source, device)
    from ttzo.host_tools.research.reproduce import pinn_cells

    return pinn_cells.cell(entry.row, *_of_the_equation(name, entry.column), extent, seed, device)


def known(name: str, entry: Entry, extent: str, store: Store) -> dict[int, Result]:
    """What the folder has of an entry of table `name`, by seed: where it was run in two ways, the one that came further.
    What was run with other settings is left out."""
    found: dict[int, Result] = {}
    for identity in _identities(name, entry, extent):
        for seed in store.seeds(identity(0)[0].removesuffix("0")):
            key, settings = identity(seed)
            result = store.read(key)
            if result.settings == settings and (seed not in found or result.share > found[seed].share):
                found[seed] = result
    return found


def _identities(name: str, entry: Entry, extent: str) -> list[Callable[[int], tuple[str, dict]]]:
    """Key and settings by the seed, of each way in which the entry's cell may have been run."""
    if name in MNIST:
        from ttzo.host_tools.research.reproduce import mnist_cells

        ways = [mnist_cells.identity]
        if mnist_cells.is_native(entry.row, entry.column, CPU):
            ways.insert(0, mnist_cells.native_identity)
        return [partial(way, entry.row, entry.column, extent) for way in ways]
    from ttzo.host_tools.research.reproduce import pinn_cells

    method, derivative = _of_the_equation(name, entry.column)
    ways_of_equations = [pinn_cells.native_identity]
    if entry.column not in OWN:
        ways_of_equations.append(pinn_cells.identity)
    return [partial(way, entry.row, method, derivative, extent) for way in ways_of_equations]


def missing(entry: Entry) -> str:
    """Why this version cannot run the entry; empty where it can."""
    if entry.column not in OWN:
        return ""
    from ttzo.host_tools.research.reproduce import native_cells

    return "" if native_cells.is_there(entry.column) else f"no estimator {entry.column} yet"


def _of_the_equation(name: str, column: str) -> tuple[str, str]:
    """Method and derivative of a column of tables 4 to 6. For the paper's `ad` jets are run, which are as exact."""
    if column in OWN:
        return column, "jet"
    if name == "table6":
        method, derivative = column, DERIVATIVE_OF[column]
    else:
        method, derivative = {"table4": "first_order", "table5": "zeroth_order"}[name], column
    return method, "jet" if derivative == "ad" else derivative


@dataclass(frozen=True)
class Outcome:
    """An entry with what its cells gave, one for each seed, in the table's unit."""

    entry: Entry
    results: tuple[Result, ...]
    unit: str = "%"

    @property
    def value(self) -> float:
        """Mean over the seeds, of errors (which differ by factors) the median; NaN when nothing was run."""
        return self._middle([result.value for result in self.results if not math.isnan(result.value)])

    @property
    def best(self) -> float:
        """The same over the best measures on the way."""
        choose = min if self.unit != "%" else max
        found = [
            [m.value for m in result.history if math.isfinite(m.value)] + ([] if result.best is None else [result.best])
            for result in self.results
        ]
        return self._middle([choose(each) for each in found if each])

    def _middle(self, values: list[float]) -> float:
        if not values:
            return math.nan
        return statistics.mean(values) if self.unit == "%" else statistics.median(values)

    @property
    def spread(self) -> float:
        """Half the distance between the best and the worst seed."""
        values = [result.value for result in self.results if math.isfinite(result.value)]
        return (max(values) - min(values)) / 2 if values else math.nan

    @property
    def share(self) -> float:
        """Of the steps of all seeds, those done (a seed that diverged has done all)."""
        return sum(1.0 if result.finished else result.share for result in self.results) / max(1, len(self.results))

    def mean_of(self, field: str) -> float:
        """Mean over the seeds of a field of the last measurement."""
        last = [getattr(result.history[-1], field) for result in self.results if result.history]
        return sum(last) / len(last) if last else 0.0
