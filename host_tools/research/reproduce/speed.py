# SPDX-License-Identifier: MIT
"""Processor time of a zeroth-order step on the equation: the product on `native:` against torch, one thread each."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ttzo.host_tools.research.reproduce import pinn_cells
from ttzo.host_tools.research.reproduce.cell import Cell, processor_s

NETWORKS = ("hjb-tt-3209", "hjb-tt-7745", "hjb-fc3-78", "hjb-fc2-320", "hjb-mlp")
DERIVATIVES = ("jet", "fd", "se", "sg")
SECONDS = {"quick": 2.0, "full": 10.0}  # of the clock, for each of the two
HEADING = ("network", "derivative", "points", "torch, ms a step", "native:, ms a step", "torch / native:")


@dataclass(frozen=True)
class Pace:
    """Processor time of a step of two loss evaluations at so many points, ms."""

    network: str
    derivative: str
    n_points: int
    torch_ms: float
    native_ms: float

    @property
    def ratio(self) -> float:
        return self.torch_ms / self.native_ms


def paces(extent: str) -> Iterator[Pace]:
    """One after the other; at least three steps of each, of 10 points (quick) or the paper's 100."""
    for network in NETWORKS:
        for derivative in DERIVATIVES:
            by_torch = pinn_cells.torch_cell(network, "zeroth_order", derivative, extent, 0)
            by_native = pinn_cells.native_cell(network, "zeroth_order", derivative, extent, 0)
            pace = (_step_ms(cell, SECONDS[extent]) for cell in (by_torch, by_native))
            yield Pace(network, derivative, pinn_cells.N_POINTS[extent], *pace)


def _step_ms(cell: Cell, seconds: float) -> float:
    """Of the cell's first steps. A process counts when it has ended, its start and the model's reading included: the
    same is measured without steps, and taken off."""
    _spent(cell, 0.0, 1)  # compiles the C runtime where that is not done yet
    idle, _ = _spent(cell, 0.0, 1)
    spent, n = _spent(cell, seconds, 4)
    return 1e3 * (spent - idle) / (n - 1)


def _spent(cell: Cell, seconds: float, least: int) -> tuple[float, int]:
    """Processor time of at least so many steps, and their number."""
    began, work, n = processor_s(), cell.make(), 0
    end = time.monotonic() + seconds
    while n < least or time.monotonic() < end:
        work.step()
        n += 1
    if hasattr(work, "close"):
        work.close()
    return processor_s() - began, n


def rows(found: list[Pace]) -> list[tuple[str, ...]]:
    return [
        (p.network, p.derivative, str(p.n_points), f"{p.torch_ms:.3g}", f"{p.native_ms:.3g}", f"{p.ratio:.2f}")
        for p in found
    ]


def to_markdown(found: list[Pace]) -> str:
    lines = ["# Processor time of a zeroth-order step on the 20-dimensional equation, one thread", ""]
    lines += [f"| {' | '.join(row)} |" for row in (HEADING, ["---"] * len(HEADING), *rows(found))]
    return "\n".join(lines) + "\n"
