# SPDX-License-Identifier: MIT
"""What a plan costs in memory: the work buffer, carved in the order of trainer.c.

`work_items` names every consumer, so that a refusal can name the largest; the device computes the same total and
refuses a bundle whose figure differs.
"""

import math
from dataclasses import dataclass

from ttzo.device_runtime.contract import LIMIT, Activation, LayerRecord, Need
from ttzo.exporter.environments import REUSING, reuse_numbers, sweep_widest
from ttzo.exporter.pde import section
from ttzo.exporter.plan import Phase, Plan, PlanError

ALIGNMENT = 8
PDE_BATCH_ROWS = 16  # a PDE's region batch only serves the host's questions


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
        "derivatives and residual program": 4 * _pde_numbers(plan),
        "least squares of Gauss-Newton": 4 * max(_gauss_newton_numbers(plan, phase) for phase in plan.training.phases),
        "rows of the batch": batch_capacity(plan) * plan.row_bytes,
    }
    return {name: ALIGNMENT * math.ceil(size / ALIGNMENT) for name, size in sizes.items()}


def batch_capacity(plan: Plan) -> int:
    """Rows of the region batch."""
    return min(plan.batch, PDE_BATCH_ROWS) if plan.pde else plan.batch


def _pde_numbers(plan: Plan) -> int:
    """Floats of `struct ttzo_pde_work`, as in ttzo_pde_carve."""
    pde = plan.pde
    if pde is None:
        return 0
    n, m = plan.in_features, plan.layers[-1].in_features if plan.uses_last_layer else 1
    units = sum(layer.out_features for layer in plan.layers if layer.activation != Activation.identity)
    slopes = 3 * units
    derivatives = 2 if pde.needs & Need.diagonal else 1
    registers = max(len(program.instructions) for program in pde.programs) * pde.n_space
    combined = 2 * (2 + 2 * n) if plan.uses_last_layer else 0
    widest_layer = max([n, *(layer.out_features for layer in plan.layers)])
    return 3 * n + 2 * m + 2 * widest_layer + derivatives * n * m + slopes + combined + registers


def _gauss_newton_numbers(plan: Plan, phase: Phase) -> int:
    """Floats of two triangles, a block of rows and the coefficients, as in ttzo_gauss_newton_count."""
    n = plan.n_columns(phase)
    return n * (n + 3) + LIMIT["gn_block_rows"] * (n + 1) + n if n else 0


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
    sizes = {"parameters": 4 * plan.n_parameters, "layer records": LayerRecord.SIZE * len(plan.layers)}
    return sizes | ({"equation": len(section.write(plan.pde))} if plan.pde else {})


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
