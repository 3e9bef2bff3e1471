# SPDX-License-Identifier: MIT
"""The bundle's section about rows: how training rows are varied, and how readings become network inputs."""

import numpy as np

from ttzo.device_runtime.contract import RowInfo
from ttzo.exporter.plan.augmentation import Augmentation
from ttzo.exporter.plan.normalisation import InputNormalisation
from ttzo.exporter.plan.plan import Plan


def info(plan: Plan) -> RowInfo:
    varied = plan.augmentation or Augmentation((0, 0, 0))
    columns = len(plan.normalisation.centre) if plan.normalisation else 0
    return RowInfo(*varied.shape, *varied.shift, varied.scaling, varied.jitter, columns, 0)


def write(plan: Plan) -> bytes:
    """b"" where there is nothing to say."""
    if plan.augmentation is None and plan.normalisation is None:
        return b""
    return info(plan).pack() + (plan.normalisation.numbers().tobytes() if plan.normalisation else b"")


def read(data: bytes) -> tuple[Augmentation | None, InputNormalisation | None, int]:
    """The inverse of `write`, and its length."""
    head = RowInfo.unpack(data)
    numbers = np.frombuffer(data, "<f4", 3 * head.columns, RowInfo.SIZE)
    found = InputNormalisation.of_numbers(numbers) if head.columns else None
    return Augmentation.of(head), found, RowInfo.SIZE + numbers.nbytes
