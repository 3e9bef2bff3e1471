# SPDX-License-Identifier: MIT
"""Small networks and batches for the rivals, in double precision."""

import torch

from ttzo.host_tools.research.rivals import zeroth_order as zo
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
