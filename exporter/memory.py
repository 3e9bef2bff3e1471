# SPDX-License-Identifier: MIT
"""What a plan costs in memory: the work buffer, carved in the order of trainer.c.

`work_items` names every consumer, so that a refusal can name the largest; the device computes the same total and
refuses a bundle whose figure differs.
"""

import math
from dataclasses import dataclass

from ttzo.device_runtime.contract import LayerRecord
from ttzo.exporter.environments import REUSING, reuse_numbers, sweep_widest
from ttzo.exporter.plan import Plan, PlanError

ALIGNMENT = 8


def widest(plan: Plan) -> int:
    """Floats of the largest array in one sample's forward pass, or in a sweep of environments."""
    sizes = [plan.in_features]
    for layer in plan.layers:
        sizes += [repeats * rows * columns for repeats, rows, _, columns in layer.contractions]
    if any(phase.estimator in REUSING for phase in plan.training.phases):
        sizes += [sweep_widest(layer) for layer in plan.layers]
    return max(sizes)


def work_items(plan: Plan) -> dict[str, int]:
    """Bytes of each part of the work buffer, in carving order, each padded to 8 bytes."""
    n, batch = plan.n_parameters, plan.batch
    sizes = {
        "parameters": 4 * n,
        "perturbed parameters or environments": 4 * max(n, plan.n_moments - n, reuse_numbers(plan)),
        "gradient estimate": 4 * n,
        "moments of the update rule": 4 * plan.n_moments,
        "losses of the batch": 4 * batch,
        "losses of the query": 4 * batch,
        "row numbers of the batch": 4 * batch,
        "activations, ping": 4 * widest(plan),
        "activations, pong": 4 * widest(plan),
        "rows of the batch": batch * plan.row_bytes,
    }
    return {name: ALIGNMENT * math.ceil(size / ALIGNMENT) for name, size in sizes.items()}


def work_bytes(plan: Plan) -> int:
    """Bytes of work buffer the device needs, without a resident dataset."""
    return sum(work_items(plan).values())


def dataset_capacity(plan: Plan, buffer_bytes: int) -> int:
    """Rows that can stay on a device whose work buffer has `buffer_bytes`."""
    return max(0, buffer_bytes - work_bytes(plan)) // plan.row_bytes


# ---- does it fit ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """What a board offers one model, in bytes.

    `flash_bytes`: flash for firmware and model together; `code_bytes`: the firmware's share of it.
    `ram_bytes`: RAM that the work buffer may take, after stack and static data.
    """

    name: str
    flash_bytes: int
    ram_bytes: int
    code_bytes: int = 0


def flash_items(plan: Plan) -> dict[str, int]:
    """Bytes of flash that the model's data take in the firmware."""
    return {"parameters": 4 * plan.n_parameters, "layer records": LayerRecord.SIZE * len(plan.layers)}


def require_room(plan: Plan, room: Room) -> None:
    """Raises `PlanError`, naming the largest consumer, when the plan does not fit the board."""
    _require(work_items(plan), room.ram_bytes, "RAM", room.name)
    _require({"the firmware": room.code_bytes} | flash_items(plan), room.flash_bytes, "flash", room.name)


def _require(items: dict[str, int], offered: int, what: str, board: str) -> None:
    needed = sum(items.values())
    if needed <= offered:
        return
    largest = max(items, key=items.__getitem__)
    raise PlanError(
        f"the model needs {needed:,} bytes of {what}, {board} has {offered:,}; "
        f"the largest part is {largest} ({items[largest]:,} bytes)",
        _hint(largest),
    )


def _hint(largest: str) -> str:
    if "batch" in largest or "query" in largest:
        return "export with a smaller --batch"
    if "environments" in largest:
        return "export with smaller --ranks, or an estimator that keeps no environments (--estimator rge)"
    if "moments" in largest:
        return "export with smaller --ranks, or an update rule without memory (--update sgd or sign)"
    return "export with smaller --ranks, or take a larger board"
