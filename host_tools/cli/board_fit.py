# SPDX-License-Identifier: MIT
"""Whether a plan fits a board, how long it trains there and what energy that takes: for `ttzo export --board`."""

import math

from ttzo.exporter.choose.method import BY_THE_DATA
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.forecast import Forecast

ESTIMATE = "estimated, not measured"
BOUNDS = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"))


def fit_rows(plan: Plan, board: Board, found: Forecast) -> list[tuple[str, str]]:
    """Rows for the table of an export: memory, then time and energy. The plan fits by what is expected."""
    time = [("time there", _time(plan, found))] if plan.n_parameters else []
    return [(f"on {board.name}", _memory(board, found)), *time]


def steps_text(plan: Plan) -> str:
    if plan.metadata.get("steps") == BY_THE_DATA:
        return "steps by the number of training rows"
    return f"{plan.training.steps:,} steps"


def kilobytes(expected: int, most: int) -> str:
    """Flash in KB: what is expected, and what it is at most."""
    return f"{expected / 1000:,.0f}-{math.ceil(most / 1000):,}"


def duration(seconds: float) -> str:
    """Three digits, in the unit in which a person reads them."""
    for least, unit, name in BOUNDS:
        if seconds >= least:
            return f"{seconds / unit:,.3g} {name}"
    return f"{seconds:,.3g} s"


def _memory(board: Board, found: Forecast) -> str:
    flash = f"{kilobytes(found.flash_bytes, found.most_flash_bytes)} of {found.flash_capacity / 1000:,.0f} KB of flash"
    ram = f"{found.work_bytes / 1000:,.0f} of {found.work_capacity / 1000:,.0f} KB of RAM"
    if found.most_flash_bytes > found.flash_capacity:
        way_out = "`ttzo build` says it exactly, and --size makes it smaller"
        return f"flash may be too small: {flash} (expected-at most), {ram}; {way_out}"
    stack = f"; `ttzo build` checks that the stack fits the {board.stack_bytes:,} bytes reserved" * (
        not board.not_built
    )
    return f"fits: {flash} (expected-at most), {ram}{stack}"


def _time(plan: Plan, found: Forecast) -> str:
    if found.most_seconds is None:
        return "what a sweep takes depends on the log"
    n = 1 if plan.metadata.get("steps") == BY_THE_DATA else plan.training.steps
    text = f"a step at most {duration(found.most_seconds)}"
    text += f", {steps_text(plan)} {duration(n * found.most_seconds)}" if n > 1 else ""
    if found.most_joules is not None:
        text += f" and {n * found.most_joules:,.3g} J"
    text += f" ({ESTIMATE}{'' if found.most_joules else '; its current is not known'})"
    if found.line_seconds:
        text += f"; {duration(found.line_seconds)} more where a step's rows are sent"
    return f"{text}; the mean: `ttzo plan`"
