# SPDX-License-Identifier: MIT
"""What a plan will cost on a board, before anything is built: memory exactly, time by the board file's figures."""

from dataclasses import dataclass

from ttzo.exporter.costs.cost import evaluations_a_step, forward_passes, macs_a_step
from ttzo.exporter.costs.memory import dataset_capacity, flash_items, require_room, work_bytes
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.firmware import wear
from ttzo.host_tools.firmware.boards import Board

BITS_A_BYTE = 10  # start, eight data bits, stop
LINE_OVERHEAD = 1.03  # frames of 1 KiB: header, checksum, COBS, answers


# of a residual program: 145 machine instructions on a Cortex-M4F, counted in QEMU over a fit of the house
CYCLES_OF_AN_INSTRUCTION = 170.0


@dataclass(frozen=True)
class Forecast:
    """One plan on one board. `refusal` says why it does not fit. Seconds are of one step of the first phase; `line`
    is sending its batch, which falls away where all `dataset_rows` needed stay on the board."""

    board: str
    refusal: str
    flash_bytes: int
    flash_capacity: int
    work_bytes: int
    work_capacity: int
    dataset_rows: int
    evaluations: int
    forward_passes: int
    macs: int
    step_seconds: float
    line_seconds: float
    storage: str  # how often the board would keep its run over a reset, in words; "" where it cannot


def forecast(plan: Plan, board: Board) -> Forecast:
    room = board.room
    try:
        require_room(plan, room)
        refusal = ""
    except PlanError as error:
        refusal = str(error)
    phase = plan.training.phases[0]
    macs, cycles = macs_a_step(plan, phase), board.cycles_per_mac
    if plan.simulation:  # with one integration step from row to row
        macs, cycles = plan.batch * plan.simulation.instructions_a_row, CYCLES_OF_AN_INSTRUCTION
    return Forecast(
        board=board.name,
        refusal=refusal,
        flash_bytes=room.code_bytes + sum(flash_items(plan).values()),
        flash_capacity=room.flash_bytes,
        work_bytes=work_bytes(plan),
        work_capacity=room.ram_bytes,
        dataset_rows=dataset_capacity(plan, room.ram_bytes),
        evaluations=evaluations_a_step(plan, phase),
        forward_passes=forward_passes(plan, phase, macs),
        macs=macs,
        step_seconds=macs * cycles / board.clock_hz,
        line_seconds=plan.batch * plan.row_bytes * LINE_OVERHEAD * BITS_A_BYTE / board.baud,
        storage=wear.describe(plan, board),
    )
