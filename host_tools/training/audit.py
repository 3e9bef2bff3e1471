# SPDX-License-Identifier: MIT
"""Measures again, on the host, what a device says that it holds: before parameters become the good or the best ones of a
run, the NumPy twin computes the loss of a few rows with them, and the device must answer the same."""

import zlib

import numpy as np

from ttzo.device_runtime.contract import DeviceError, Region
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.device.device import Device
from ttzo.host_tools.device.replies import ReplyError
from ttzo.host_tools.reference.train.numpy_network import in_separate
from ttzo.host_tools.reference.train.trainer import Trainer

ROWS = 8  # of one audit
TOLERANCE = 1e-3  # relative: arithmetic may be fused, or onnxruntime's; parameters that are not the device's do more
FLOOR = 1e-6  # of a mean loss: what rounding leaves of one that is nearly 0


def require_same_loss(device: Device, parameters: np.ndarray, rows: np.ndarray) -> None:
    """Raises `ReplyError` unless the device's loss on the first of the packed rows uint8 [n, row_bytes] is the one that
    `parameters` float32 [n_parameters] give."""
    part = rows[: min(ROWS, memory.batch_capacity(device.plan))]
    if not len(part):
        return
    told, own = device.evaluate(part).loss, _loss(device.plan, parameters, part)
    if own is None or abs(told - own) > TOLERANCE * max(abs(told), abs(own)) + FLOOR:
        computed = "no finite one" if own is None else f"{own:.6g}"
        raise ReplyError(
            "read", "the loss of its parameters", f"{told:.6g} by EVALUATE", f"the host computes {computed}"
        )


def _loss(plan: Plan, parameters: np.ndarray, rows: np.ndarray) -> float | None:
    """The mean loss of the rows (with an equation, the mean squared error of its solution) as the twin computes it; None
    where that is not finite."""
    twin, n, content = Trainer(in_separate(plan), None, memory.work_bytes(plan)), len(rows), rows.tobytes()
    twin.theta = parameters
    try:
        if plan.pde is not None and plan.pde.exact is not None:
            return twin.solution_error(Region.collocation, 0, n)[0] / n
        twin.write(Region.batch, 0, content)
        twin.commit(Region.batch, len(content), zlib.crc32(content))
        total = twin.evaluate(Region.batch, 0, n) if plan.pde is None else twin.solution_error(Region.batch, 0, n)
        return total[0] / n
    except DeviceError as error:
        if error.name != "non_finite":
            raise
        return None
