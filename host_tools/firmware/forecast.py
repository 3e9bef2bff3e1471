# SPDX-License-Identifier: MIT
"""What a plan will cost on a board, before anything is built: memory exactly, time by the board file's figures."""

from dataclasses import dataclass
from typing import Any

from ttzo.exporter.costs import instructions
from ttzo.exporter.costs.cost import evaluations_a_step, forward_passes, macs_a_step
from ttzo.exporter.costs.instructions import Executed
from ttzo.exporter.costs.memory import dataset_capacity, flash_items, require_room, work_bytes
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.packing import batch_bytes
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.firmware import wear
from ttzo.host_tools.firmware.boards import Board

BITS_A_BYTE = 10  # start, eight data bits, stop
LINE_OVERHEAD = 1.03  # frames of 1 KiB: header, checksum, COBS, answers


@dataclass(frozen=True)
class Forecast:
    """One plan on one board. `refusal` says why it does not fit. Instructions, seconds and joules are of one step of the
    first phase: in the mean of the first steps (None where they could not be trained here), and at most; joules are None
    where the board file knows no current. All of them are None for a simulation: what a row of a log takes depends on the
    time since the row before it, and `ttzo identify --count` counts it. `line_seconds` is sending a batch, which falls away where all `dataset_rows`
    needed stay on the board."""

    board: str
    refusal: str
    flash_bytes: int  # expected; the model's tables exactly
    most_flash_bytes: int
    flash_capacity: int
    work_bytes: int
    work_capacity: int
    dataset_rows: int
    evaluations: int | None
    forward_passes: int | None
    macs: int | None
    step_instructions: float | None
    most_instructions: float | None
    step_seconds: float | None
    most_seconds: float | None
    step_joules: float | None
    most_joules: float | None
    line_seconds: float
    storage: str  # how often the board would keep its run over a reset, in words; "" where it cannot


def forecast(plan: Plan, board: Board, executed: Executed | None) -> Forecast:
    """`executed`: what the plan's first steps take (measure/first_steps.py), where that is known."""
    room = board.room
    try:
        require_room(plan, room)
        refusal = ""
    except PlanError as error:
        refusal = str(error)
    code, tables = room.code(plan), sum(flash_items(plan).values())
    return Forecast(
        board=board.name,
        refusal=refusal,
        flash_bytes=code.expected + tables,
        most_flash_bytes=code.ceiling + tables,
        flash_capacity=room.flash_bytes,
        work_bytes=work_bytes(plan),
        work_capacity=room.ram_bytes,
        dataset_rows=dataset_capacity(plan, room.ram_bytes),
        **_of_step(plan, board, executed),
        line_seconds=0.0 if plan.pde else batch_bytes(plan) * LINE_OVERHEAD * BITS_A_BYTE / board.baud,
        storage=wear.describe(plan, board),
    )


OF_STEP = (
    "evaluations",
    "forward_passes",
    "macs",
    "step_instructions",
    "most_instructions",
    "step_seconds",
    "most_seconds",
    "step_joules",
    "most_joules",
)


def _of_step(plan: Plan, board: Board, executed: Executed | None) -> dict[str, Any]:
    """The fields of `Forecast` that are of one step."""
    if plan.simulation is not None:
        return dict.fromkeys(OF_STEP)
    phase = plan.training.phases[0]
    macs = macs_a_step(plan, phase)
    most = board.instruction_ratio * instructions.most_instructions(plan, phase)
    mean = board.instruction_ratio * instructions.mean_instructions(plan, phase, executed) if executed else None
    watts = board.active_milliamperes / 1000 * board.supply_volts
    seconds, most_seconds = _seconds(mean, board), _seconds(most, board)
    values = (
        evaluations_a_step(plan, phase),
        forward_passes(plan, phase, macs),
        macs,
        mean,
        most,
        seconds,
        most_seconds,
        *(each * watts if each is not None and watts else None for each in (seconds, most_seconds)),
    )
    return dict(zip(OF_STEP, values, strict=True))


def _seconds(count: float | None, board: Board) -> float | None:
    return None if count is None else count * board.cycles_per_instruction / board.clock_hz
