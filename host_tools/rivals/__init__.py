# SPDX-License-Identifier: MIT
"""TRAINS on the host, in torch, as others have published it: the methods that ttzo is held against.

from ttzo.host_tools import rivals
from ttzo.host_tools.rivals.network import Network
from ttzo.host_tools.rivals.objective import Batch

network = Network.of(module)
trainer = Trainer(rivals.get("fzoo"), network.start)
trainer.step(Batch(network, x, y))
"""

from ttzo.host_tools.rivals.registry import get, names
from ttzo.host_tools.rivals.trainer import Trainer

__all__ = ["Trainer", "get", "names"]
