# SPDX-License-Identifier: MIT
"""The hybrid on a tensor train, each stage where it is faster: random directions in torch, coordinates on `native:`."""

import dataclasses
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    Difference,
    Estimator,
    Loss,
    Number,
    Region,
    Schedule,
    StateRecord,
    Update,
)
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import pack_rows
from ttzo.host_tools.device.device import BUNDLE, Device, open_device
from ttzo.host_tools.research.reproduce.mnist_work import BATCH, DECAY, DECAY_EVERY, MnistWork, Rows
from ttzo.host_tools.research.reproduce.native_cells import URL, stepped
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.trainer import Rival

LEVELS = 255  # of a pixel


def plan_of(module: torch.nn.Module, rate: float, n_steps: int, steps_an_epoch: int, seed: int) -> Plan:
    """The second stage: the paper's CGE with momentum, radius 1e-3, and its schedule, counted from the run's start."""
    phase = Phase(
        estimator=Estimator.cge,
        difference=Difference.one_sided,
        update=Update.ema_momentum,
        perturb_radius=1e-3,
        learning_rate=rate,
    )
    training = Training(
        (phase,),
        seed=seed,
        steps=n_steps,
        schedule=Schedule.step,
        decay_every=DECAY_EVERY * steps_an_epoch,
        decay_factor=DECAY,
    )
    return plan_from_module(
        module,
        loss=Loss.cross_entropy,
        training=training,
        batch=BATCH,
        input_number=Number.uint8,
        input_scale=1 / LEVELS,
    )


class NativeHybrid(MnistWork):
    """A hybrid whose second stage is a device's. It gets the batches that torch would have seen, pixels as bytes."""

    def __init__(self, plan: Plan, network: Network | LocalNetwork, rival: Rival, rows: Rows, seed: int):
        super().__init__(network, rival, rows, seed)
        self._plan, self._owned = plan, ExitStack()
        self.device: Device | None = None

    @property
    def number(self) -> int:
        return self.device.step_count if self.device else self.trainer.number

    def step(self) -> float:
        if self.device is None:
            loss = super().step()
            if self.trainer.phase == 1:
                device = self._start()
                start = dataclasses.replace(device.state(), step=self.trainer.number)
                device.load(self.trainer.theta.numpy(), np.zeros(self._plan.n_moments, np.float32), start)
            return loss
        x, y, _ = self.batch_of_step()
        self.device.write_batch(pack_rows((x * LEVELS).round().byte().numpy(), y.numpy()))
        return stepped(self.device, Region.batch, self.cost)

    def _start(self) -> Device:
        folder = Path(self._owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-cell-")))
        (folder / BUNDLE).write_bytes(to_bundle.write(self._plan))
        self.device = self._owned.enter_context(open_device(URL, folder))
        return self.device

    def measure(self) -> float:
        if self.device:
            self.trainer.theta = torch.from_numpy(self.device.parameters())
        return super().measure()

    def state(self) -> dict[str, Any]:
        if self.device is None:
            return super().state()
        self.trainer.theta = torch.from_numpy(self.device.parameters())
        moments = torch.from_numpy(self.device.moments())
        state = torch.from_numpy(np.frombuffer(self.device.state().pack(), np.uint8).copy())
        return super().state() | {"moments": moments, "state": state}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        if "state" in state:
            record = StateRecord.unpack(state["state"].numpy().tobytes())
            self._start().load(self.trainer.theta.numpy(), state["moments"].numpy(), record)

    def close(self) -> None:
        """Ends the device, so that its processor time is known."""
        self._owned.close()
