# SPDX-License-Identifier: MIT
"""The run that a device keeps over a reset (device_runtime/storage): when it is asked to keep one, and how a host that has
no checkpoint goes on from it.

Each generation costs one erase of one of two slots. How many hours of training they bear decides how often one is kept.
"""

import time
import zlib
from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import DeviceError
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers.to_bundle import model_hash, training_records
from ttzo.host_tools.device.device import Device
from ttzo.host_tools.firmware.wear import period_s
from ttzo.host_tools.training.checkpoint import Checkpoint


def run_number(parameters: np.ndarray, data_checksum: int) -> int:
    """Names a run on a device: a CRC-32 of the float32 parameters that it begins with and of its training rows."""
    return zlib.crc32(parameters.astype("<f4").tobytes(), data_checksum)


def _packed(settings: Training) -> list[bytes]:
    """The settings as a device holds them."""
    return [record.pack() for record in training_records(settings)]


class KeptRun:
    """Of one session on `device`, which loads its newest run here. `say(text)` hears what the person should know."""

    def __init__(self, device: Device, say: Callable[[str], object]):
        self._device, self._say = device, say
        self._found = device.restore()
        self._is_there = self._found is not None  # whether the device keeps runs
        self._period_s = period_s(self._found.rated_erases if self._found else 0)
        self._kept_at, self._kept_step = time.monotonic(), -1
        self.run = 0

    def begin(
        self, found: Checkpoint | None, start: np.ndarray, settings: Training, data_checksum: int, restart: bool
    ) -> Checkpoint | None:
        """What the session goes on from: the host's checkpoint `found`, else what the device has kept of the run that begins
        with the parameters `start` under `settings`, unless `restart`."""
        self.run = found.run if found else run_number(start, data_checksum)
        device = self._device
        if found or restart or not self._found or not self._found.generation or self._found.run != self.run:
            return found
        if _packed(device.settings()) != _packed(settings):
            self._say(f"{device.board} keeps step {device.step_count} of this run under other settings: it begins anew")
            return None
        self._say(f"{device.board} has kept step {device.step_count} of this run; it goes on from there")
        return Checkpoint(
            parameters=device.parameters(),
            moments=device.moments(),
            state=device.state(),
            settings=settings,
            model_hash=model_hash(device.plan),
            data_checksum=data_checksum,
            run=self.run,
        )

    def keep(self, at_once: bool) -> None:
        """Has the device keep the run as it stands, when that is due or `at_once`. A memory that fails is reported once, and
        asked no more."""
        step, now = self._device.step_count, time.monotonic()
        is_due = at_once or now - self._kept_at >= self._period_s
        if not self._is_there or not is_due or step in (0, self._kept_step):
            return
        self._kept_at, self._kept_step = now, step
        try:
            self._device.keep(self.run)
        except DeviceError as error:
            if error.name != "not_stored":
                raise
            self._is_there = False
            self._say(f"{self._device.board} could not keep the run: its memory failed, and still holds an older state")
