# SPDX-License-Identifier: MIT
"""The cells that gain most on a GPU, in order, within minutes: what one core would take days for."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ttzo.host_tools.research.reproduce import tables
from ttzo.host_tools.research.reproduce.tables import Entry, Table

BUDGET_S = 600.0


@dataclass(frozen=True)
class Turn:
    """A cell, and its share of the time that is left when its turn comes."""

    table: str
    row: str
    column: str
    share: float


# hours of one core at the paper's steps: 54 for the hybrid on 784-1024-10, 60 and more for the dense network on the grid
PLAN = (
    Turn("table5", "hjb-tt-3209", "sg", 0.15),
    Turn("table5", "hjb-tt-7745", "sg", 0.15),
    Turn("table5", "hjb-mlp", "sg", 0.2),
    Turn("table4", "hjb-tt-3209", "sg", 0.2),
    Turn("table4", "hjb-mlp", "sg", 0.25),
    Turn("table2", "tt-8314", "hybrid", 0.3),
    Turn("table3", "mlp-1024", "hybrid", 1.0),
)


def turns(budget_s: float) -> Iterator[tuple[Table, Entry, float]]:
    """Table, entry and seconds of each cell; what a cell leaves goes to those after it."""
    end = time.monotonic() + budget_s
    for turn in PLAN:
        table = tables.table(turn.table)
        entry = next(e for e in table.entries if (e.row, e.column) == (turn.row, turn.column))
        yield table, entry, max(0.0, turn.share * (end - time.monotonic()))
