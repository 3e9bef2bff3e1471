# SPDX-License-Identifier: MIT
"""The bundle's section about rows: how training rows are varied, how readings become network inputs, how rows are packed."""

import numpy as np

from ttzo.device_runtime.contract import RowInfo
from ttzo.exporter.plan.augmentation import Augmentation
from ttzo.exporter.plan.normalisation import InputNormalisation
from ttzo.exporter.plan.packing import TABLE_BYTES, Packing
from ttzo.exporter.plan.plan import Plan


def info(plan: Plan) -> RowInfo:
    varied = plan.augmentation or Augmentation((0, 0, 0))
    columns = len(plan.normalisation.centre) if plan.normalisation else 0
    is_packed = int(plan.packing is not None)
    return RowInfo(*varied.shape, *varied.shift, varied.scaling, varied.jitter, columns, is_packed)


def write(plan: Plan) -> bytes:
    """b"" where there is nothing to say."""
    if plan.augmentation is None and plan.normalisation is None and plan.packing is None:
        return b""
    numbers = plan.normalisation.numbers().tobytes() if plan.normalisation else b""
    return info(plan).pack() + numbers + (plan.packing.table().tobytes() if plan.packing else b"")


def read(data: bytes) -> tuple[Augmentation | None, InputNormalisation | None, Packing | None, int]:
    """The inverse of `write`, and its length."""
    head = RowInfo.unpack(data)
    numbers = np.frombuffer(data, "<f4", 3 * head.columns, RowInfo.SIZE)
    found = InputNormalisation.of_numbers(numbers) if head.columns else None
    size, packing = RowInfo.SIZE + numbers.nbytes, None
    if head.packing:
        packing = Packing.of_table(np.frombuffer(data, "<u2", TABLE_BYTES // 2, size))
        size += TABLE_BYTES
    return Augmentation.of(head), found, packing, size
