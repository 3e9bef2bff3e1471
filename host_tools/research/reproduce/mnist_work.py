# SPDX-License-Identifier: MIT
"""A network at work on MNIST by the paper's schedule (section 5.1): mini-batch 64, the rate times 0.9 every 10 epochs."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.reproduce.cell import CPU
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch, Cost

BATCH = 64
DECAY_EVERY, DECAY = 10, 0.9
TEST_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, eq=False)
class Rows:
    """x float32 (n, 784) in 0..1, y int64 (n,)."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor

    @property
    def steps_an_epoch(self) -> int:
        return len(self.x_train) // BATCH

    def to(self, device: torch.device) -> "Rows":
        return Rows(*(getattr(self, each.name).to(device) for each in dataclasses.fields(self)))


class MnistWork:
    """One network under one rival on one device. Epoch e sees the rows in an order drawn from (seed, e), the same on
    every device."""

    def __init__(
        self,
        network: Network | LocalNetwork,
        rival: rivals.trainer.Rival,
        rows: Rows,
        seed: int,
        device: torch.device = CPU,
    ):
        self.network, self.rows, self.seed = network.to(device), rows.to(device), seed
        self.trainer = rivals.Trainer(rival, self.network.start, seed)
        self.cost, self._epoch = Cost(), -1
        self._order = torch.zeros(0, dtype=torch.int64)  # of the rows, in epoch `_epoch`

    @property
    def number(self) -> int:
        return self.trainer.number

    def batch_of_step(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Rows and classes of the next step, and its epoch."""
        epoch, slot = divmod(self.number, self.rows.steps_an_epoch)
        if epoch != self._epoch:
            rng = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
            order = torch.randperm(len(self.rows.x_train), generator=rng)
            self._order, self._epoch = order.to(self.rows.x_train.device), epoch
        which = self._order[slot * BATCH : (slot + 1) * BATCH]
        return self.rows.x_train[which], self.rows.y_train[which], epoch

    def step(self) -> float:
        x, y, epoch = self.batch_of_step()
        # local_greedy, and it alone, asks its batch for a LocalNetwork
        batch = Batch(self.network, x, y, self.cost, self.trainer.rival.loss)  # type: ignore[arg-type]  # see above
        return self.trainer.step(batch, DECAY ** (epoch // DECAY_EVERY))

    def measure(self) -> float:
        """Accuracy on the test rows, %."""
        with torch.no_grad():
            parts = [self.network.forward(self.trainer.theta, x) for x in self.rows.x_test.split(TEST_ROWS_AT_ONCE)]
        return 100 * float((torch.cat(parts).argmax(1) == self.rows.y_test).double().mean())

    def spent(self) -> tuple[int, int]:
        return self.cost.evaluations, self.cost.macs

    def state(self) -> dict[str, Any]:
        return {"trainer": self.trainer.state(), "cost": self.spent()}

    def load(self, state: dict[str, Any]) -> None:
        self.trainer.load(state["trainer"])
        self.cost.evaluations, self.cost.macs = state["cost"]
