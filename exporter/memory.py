# SPDX-License-Identifier: MIT
"""What a plan costs in memory: the work buffer, carved in the order of `ttzo_open` in train.c.

`work_items` names every consumer, so that a refusal can name the largest; the device computes the same total and
refuses a bundle whose figure differs.
"""

import math

from ttzo.exporter.plan import Plan

ALIGNMENT = 8


def widest(plan: Plan) -> int:
    """Floats of the largest array in one sample's forward pass."""
    sizes = [plan.in_features]
    for layer in plan.layers:
        sizes += [repeats * rows * columns for repeats, rows, _, columns in layer.contractions]
    return max(sizes)


def work_items(plan: Plan) -> dict[str, int]:
    """Bytes of each part of the work buffer, in carving order, each padded to 8 bytes."""
    n, batch = plan.n_parameters, plan.batch
    sizes = {
        "parameters": 4 * n,
        "perturbed parameters": 4 * n,
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
