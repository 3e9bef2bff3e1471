# SPDX-License-Identifier: MIT
"""The good and the best checkpoint of a run, beside the last one.

They are written where the guard looks at the loss (guard.py): that of validation rows where there are any, else the mean
loss of the steps since its last look; never that of test rows. What the device says that it holds gets into them only after the NumPy twin
has measured the same with it (audit.py).
"""

import math
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ttzo.host_tools.data.whole_file import remove_leftovers
from ttzo.host_tools.device.device import Device
from ttzo.host_tools.training import audit
from ttzo.host_tools.training import checkpoint as checkpoints
from ttzo.host_tools.training.checkpoint import NEAR, Checkpoint, CheckpointError, Generation


class Generations:
    """Of the run in `folder`. `measured` are the packed rows that its losses are measured on, None where they are the
    steps' own; `audited` are rows for the twin to compare, of any kind."""

    def __init__(self, folder: Path, device: Device, measured: np.ndarray | None, audited: np.ndarray):
        self._folder, self._device, self._audited = folder, device, audited
        self.measured_rows = 0 if measured is None else zlib.crc32(measured.tobytes())
        self.best: float | None = None  # the lowest loss

    def begin(self, goes_on: bool) -> None:
        """Removes what dead processes have left in the folder, and the generations of a run that begins anew; of one
        that goes on, finds the best loss."""
        for name in (*(each.value for each in Generation), "metrics.csv"):
            remove_leftovers(self._folder / name)
        if not goes_on:
            for generation in (Generation.good, Generation.best):
                (self._folder / generation.value).unlink(missing_ok=True)
            return
        with suppress(CheckpointError):  # none, or one that the next best takes the place of
            best = checkpoints.load(self._folder / Generation.best.value, self._device.plan)
            if best.measured_rows == self.measured_rows and not math.isnan(best.measured):
                self.best = best.measured

    def keep(self, loss: float, read: Callable[[float, int], Checkpoint]) -> None:
        """Keeps the present state, whose loss is `loss`, as the last good one and as the best one, where it is.
        `read(measured, measured_rows)` fetches it from the device. Raises `DiskError`, `ReplyError`."""
        best = math.inf if self.best is None else self.best
        is_best = loss < best
        if not is_best and loss > NEAR * best:
            return
        saved = read(loss, self.measured_rows)
        audit.require_same_loss(self._device, saved.parameters, self._audited)
        for generation in (Generation.good, *((Generation.best,) if is_best else ())):
            checkpoints.save(self._folder / generation.value, saved)
        self.best = min(loss, best)

    def start(self, saved: Checkpoint) -> None:
        """Keeps the state that the run begins with: until something better comes, it is the good one. Raises `DiskError`."""
        checkpoints.save(self._folder / Generation.good.value, saved)

    def kept(self) -> Checkpoint:
        """The best state; before the first, the one that the run began with. Raises `CheckpointError`."""
        best = self._folder / Generation.best.value
        return checkpoints.load(best if best.exists() else best.with_name(Generation.good.value), self._device.plan)
