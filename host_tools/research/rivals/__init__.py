# SPDX-License-Identifier: MIT
"""TRAINS on the host, in torch, as others have published it: the methods that ttzo is held against.

from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch

network = Network.of(module)
trainer = Trainer(rivals.get("fzoo"), network.start)
trainer.step(Batch(network, x, y))
"""

from ttzo.host_tools.research.rivals.registry import get, names
from ttzo.host_tools.research.rivals.trainer import Trainer

__all__ = ["Trainer", "get", "names"]
