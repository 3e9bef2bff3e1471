# SPDX-License-Identifier: MIT
"""Small networks, batches and a quadratic on which rivals keep their promises."""

import pytest

torch = pytest.importorskip("torch")

from ttzo.host_tools.research.rivals import zeroth_order as zo
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.nn import TTLinear

ROWS, INPUTS, CLASSES = 12, 6, 3


def module(kind="dense", activation=torch.nn.Tanh):
    torch.manual_seed(5)
    if kind == "dense":
        return torch.nn.Sequential(torch.nn.Linear(INPUTS, 8), activation(), torch.nn.Linear(8, CLASSES))
    fold = {"matrix": ((2, 3), (4, 2), (3,)), "tensor": ((2, 3), (4, 2), (2, 3, 2))}[kind]
    out = {"matrix": ((4, 2), (3, 1), (2,)), "tensor": ((4, 2), (3,), (2, 2))}[kind]
    return torch.nn.Sequential(TTLinear(INPUTS, 8, *fold, kind), activation(), TTLinear(8, CLASSES, *out, kind))


def in_double(network):
    return Network(network.layers, network.start.double(), network.kept)


def batch(kind="dense", activation=torch.nn.Tanh):
    """A batch in double precision, so that small differences are exact enough to judge."""
    made = module(kind, activation)
    x = torch.randn(ROWS, INPUTS, dtype=torch.float64)
    return Batch(in_double(Network.of(made)), x, torch.randint(0, CLASSES, (ROWS,)))


def step(seed=0, rate=1e-3, number=0):
    return zo.Step(rate, number, torch.Generator().manual_seed(seed))


class Quadratic:
    """L = g.theta + theta' A theta / 2 with a known gradient; stands in for a batch."""

    network = LocalNetwork(1, 1, 1)  # of no layers that coordinates could share

    def __init__(self, n=8):
        torch.manual_seed(1)
        half = torch.randn(n, n, dtype=torch.float64)
        self.a, self.g, self.theta = half @ half.T / n, torch.randn(n, dtype=torch.float64), torch.zeros(n).double()

    @property
    def gradient(self):
        return self.g + self.a @ self.theta

    def losses(self, thetas):
        return thetas @ self.g + 0.5 * ((thetas @ self.a) * thetas).sum(1)

    def slope(self, theta, direction):
        return self.losses(theta[None])[0], (self.g + self.a @ theta) @ direction
