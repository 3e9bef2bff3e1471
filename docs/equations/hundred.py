# SPDX-License-Identifier: MIT
"""Equations in 100 dimensions with sampled derivatives, each a function that `ttzo export docs/equations/hundred.py:NAME -o DIR`
takes with no other option.

The networks are convolutions along the coordinates: all coordinates (of `allen_cahn`: all pairs of neighbours) go through the
same few units, and a last layer weighs them (of `allen_cahn`, a tensor train). `measure_hundred.py` trains all three and writes docs/results/hundred.md.
"""

import math

import torch

from ttzo import pde
from ttzo.exporter.readers.nn import TTLinear

DIMENSION = 100
SCALE = 1 / math.sqrt(DIMENSION)
SETTINGS = {
    "derivative": "sampled_jet",
    "estimator": "subspace_gn",
    "schedule": "linear",
    "steps": 100,
    "ridge": 1e-3,
    "trust_radius": 1.0,
}


def network(
    inputs: int, seed: int, kernel: int = 1, outputs: int = 1, units: int = 6, weight: float = SCALE, time: float = 1.0
) -> torch.nn.Sequential:
    """Units that each look at `kernel` neighbouring inputs, `outputs` sums of them at each place, and weights of the places.
    At the start all places weigh alike, the last one, which is time where there is time, `time` times as much."""
    torch.manual_seed(seed)
    places = inputs - kernel + 1
    parts = torch.nn.Conv2d(1, units, (1, kernel)), torch.nn.Conv2d(units, outputs, 1)
    last = torch.nn.Linear(outputs * places, outputs)
    with torch.no_grad():
        last.weight.zero_()
        for k in range(outputs):
            last.weight[k, k * places : (k + 1) * places] = weight
            last.weight[k, (k + 1) * places - 1] *= time
        last.bias.zero_()
    return in_line(inputs, *parts, last)


def network_of_pairs(inputs: int, seed: int, units: int, modes: tuple[int, ...]) -> torch.nn.Sequential:
    """`network` of pairs of neighbours whose weights of the inputs - 1 places are a tensor train of rank 1 over `modes`, so
    that there are fewer parameters than queries. At the start all places weigh alike."""
    torch.manual_seed(seed)
    parts = torch.nn.Conv2d(1, units, (1, 2)), torch.nn.Conv2d(units, 1, 1)
    last = TTLinear(inputs - 1, 1, modes, (1,) * len(modes), ranks=1)
    with torch.no_grad():
        for core in last.cores:
            core.fill_(SCALE ** (1 / len(modes)))
    return in_line(inputs, *parts, last)


def in_line(inputs: int, first: torch.nn.Conv2d, second: torch.nn.Conv2d, last: torch.nn.Module) -> torch.nn.Sequential:
    """The three as one network; the first two's numbers are drawn here."""
    with torch.no_grad():
        first.weight.normal_(0, 1)
        first.bias.uniform_(-1, 1)
        second.weight.mul_(0.1)
        second.bias.zero_()
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 1, inputs)),
        first,
        torch.nn.Tanh(),
        second,
        torch.nn.Flatten(),
        last,
    )


def in_time(n, t):
    """A network's outputs as a polynomial in time."""
    return n[0] + t * n[1]


# ---- heat: bumps that spread, u_t = k lap u --------------------------------------------------------------------------

CONDUCTIVITY = 0.05
MEAN = 0.578  # of a bump over box and time: without it a constant would be right to a few percent


def bumps(x, t):
    width = 1.0 + 8.0 * CONDUCTIVITY * t
    return SCALE * (pde.sum(pde.exp(-2.0 * x * x / width)) / pde.sqrt(width) - MEAN * DIMENSION)


def heat(seed=0):
    problem = pde.Problem(
        space=[(-1, 1)] * DIMENSION,
        time=(0, 1),
        fields=["u", "rest"],
        residual=lambda p: p.u_t - CONDUCTIVITY * p.lap,
        solution=lambda n, x, t: (bumps(x, 0.0) + t * in_time(n, t), 0.0),
        exact=lambda x, t: (bumps(x, t), 0.0),
        conditions=[pde.on_faces(lambda p: p.u - bumps(p.x, p.t), weight=5.0, rows=64)],
        rows=64,
    )
    options = {"problem": problem, "n_sampled": 2, "n_queries": 100}
    return network(DIMENSION + 1, seed, outputs=2), SETTINGS | options


# ---- Hamilton-Jacobi-Bellman: a linear system, quadratic costs -------------------------------------------------------

CONTROL = 0.05
RUNNING = DIMENSION / (2 * CONTROL) * math.log(1 + 4 * CONTROL)  # cost a unit of time: u is about 0 at both ends


def cost(x, t):
    left = 1.0 - t
    square = pde.sum(x * x) / (1.0 + 4.0 * CONTROL * left) - DIMENSION / 3
    return square + DIMENSION / (2 * CONTROL) * pde.log1p(4.0 * CONTROL * left) - RUNNING * left


def hjb(seed=0):
    problem = pde.Problem(
        space=[(-1, 1)] * DIMENSION,
        time=(0, 1),
        fields=["u", "rest"],
        residual=lambda p: p.u_t + p.lap - CONTROL * pde.sum(p.grad * p.grad) - RUNNING,
        solution=lambda n, x, t: (pde.sum(x * x) - DIMENSION / 3 + (1.0 - t) * in_time(n, t), 0.0),
        exact=lambda x, t: (cost(x, t), 0.0),
        conditions=[pde.on_faces(lambda p: p.u - cost(p.x, p.t), weight=5.0, rows=64)],
        rows=64,
    )
    options = {"problem": problem, "n_sampled": 4, "n_queries": 100, "steps": 80}
    return network(DIMENSION + 1, seed, outputs=2, weight=1.0, time=30.0), SETTINGS | options


# ---- Allen-Cahn with interactions of neighbours ----------------------------------------------------------------------


def pair(a, b):
    """What two neighbours have at a and b, and its Laplacian, without a mean over the box: known functions of STDE's paper."""
    z, slope_a, slope_b = a + pde.cos(b) + b * pde.cos(a), 1.0 - b * pde.sin(a), pde.cos(a) - pde.sin(b)
    bent = pde.cos(z) * (-b * pde.cos(a) - pde.cos(b)) - pde.sin(z) * (slope_a * slope_a + slope_b * slope_b)
    return pde.sin(z) - 0.546, bent


def of_pairs(x, which):
    """The sum over all neighbours of what `pair` gives first or second."""
    values = pair(x, pde.shift(x))[which]
    return SCALE * (pde.sum(values) - values[DIMENSION - 1])  # the last coordinate has no neighbour


def allen_cahn(seed=0):
    """lap u + u - u^3 = f, where f makes the sum over pairs the solution."""

    def residual(p):
        exact = of_pairs(p.x, 0)
        return p.lap + p.u - p.u**3 - (of_pairs(p.x, 1) + exact - exact**3)

    problem = pde.Problem(
        space=[(-1, 1)] * DIMENSION,
        residual=residual,
        exact=lambda x, t: of_pairs(x, 0),
        conditions=[pde.on_faces(lambda p: p.u - of_pairs(p.x, 0), weight=40.0, rows=64)],
        rows=64,
    )
    options = {"problem": problem, "n_sampled": 2, "n_queries": 100}
    return network_of_pairs(DIMENSION, seed, 16, (3, 3, 11)), SETTINGS | options
