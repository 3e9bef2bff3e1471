# SPDX-License-Identifier: MIT
"""What keeping a run over a reset costs a board's memory: bytes of its two slots, and erases.

A generation erases one of the two slots. How often one is kept follows from the erases that the memory bears.
"""

from ttzo.device_runtime.contract import RECORD
from ttzo.exporter.costs.memory import saved_run_bytes
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.firmware.boards import Board

LIFETIME_HOURS = 1000.0  # of training that the two slots must bear


def period_s(rated_erases: int) -> float:
    """Seconds from one generation to the next, at the soonest; 0 of a memory that does not wear."""
    return 3600.0 * LIFETIME_HOURS / (2 * rated_erases) if rated_erases else 0.0


def erases_an_hour(rated_erases: int) -> float:
    """Erases of each slot in an hour of training; 0 of a memory that does not wear."""
    return rated_erases / LIFETIME_HOURS


def slot_bytes(plan: Plan) -> int:
    """Bytes that a generation takes in a slot."""
    return saved_run_bytes(plan) + RECORD["seal"].SIZE


def require_slots(plan: Plan, board: Board) -> None:
    """Raises `PlanError` when the board keeps no runs, or when one of the plan does not fit a slot."""
    if not board.slots:
        raise PlanError(
            f"{board.name} has no memory for runs",
            "build without --storage, or name one by `slots` in the board's file",
        )
    if slot_bytes(plan) > board.slot_bytes:
        raise PlanError(
            f"a run of this model takes {slot_bytes(plan):,} bytes, a slot of {board.name} has {board.slot_bytes:,}",
            "export with smaller --ranks or without momentum, build without --storage, or move slot_origins in the board's file",
        )


def describe(plan: Plan, board: Board) -> str:
    """How often the board keeps a run of the plan, in words; "" where it cannot."""
    if not board.slots or slot_bytes(plan) > board.slot_bytes:
        return ""
    taken = f"{slot_bytes(plan):,} of {board.slot_bytes:,} bytes in each of two slots"
    if not board.slot_rated_erases:
        return f"{taken}, after every checkpoint; the memory does not wear"
    hourly, every = erases_an_hour(board.slot_rated_erases), period_s(board.slot_rated_erases)
    return (
        f"{taken}, every {every:.0f} s: {hourly:.0f} erases of each in an hour of training, {board.slot_rated_erases:,} are "
        f"rated, for {LIFETIME_HOURS:,.0f} hours"
    )
