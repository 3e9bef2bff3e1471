# SPDX-License-Identifier: MIT
"""The paper's 20-dimensional Hamilton-Jacobi-Bellman equation (eq. 14), and its less degenerate relative `hjb20-lq`."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from ttzo.device_runtime.contract import Derivative, Schedule
from ttzo.exporter import pde
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.training import Training
from ttzo.exporter.zoo.pde_network import dense, in_units
from ttzo.exporter.zoo.recipe import Ranks, Recipe, layer_ranks

if TYPE_CHECKING:
    import torch

DIMENSION = 20
HIDDEN = (3, 4, 4, 4, 4)  # 768
TT_RANK = 4  # 3209 parameters; rank 10 has 7745
ROWS = 32
STEPS = 48  # 20 loss evaluations each


def residual(p):
    return p.u_t + p.lap - 0.05 * pde.sum(p.grad * p.grad) + 2.0


# The terminal value ||x||_1 is sum(x) in the box; its extension stays unsmoothed and is met exactly.
PROBLEM = pde.Problem(
    space=[(0.0, 1.0)] * DIMENSION,
    time=(0.0, 1.0),
    residual=residual,
    solution=lambda n, x, t: (1.0 - t) * n + pde.sum(x),
    exact=lambda x, t: pde.sum(x) + 1.0 - t,
    rows=ROWS,
)


def build(ranks: Ranks = None, format: str | None = None, seed: int = 0, rank: int = TT_RANK) -> "torch.nn.Module":
    """21 -> 768 -> 768 -> 1 with sines, the first two layers tensor trains, the last dense."""
    from ttzo.exporter.readers.nn import Sine, TTLinear, seeded, torch

    first, second = layer_ranks(ranks, (rank, rank))
    form = format or "tensor"
    into = (3, 7) if form == "tensor" else (1, 1, 1, 3, 7)
    with seeded(seed):
        return torch.nn.Sequential(
            TTLinear(21, 768, into, HIDDEN, first, form),
            Sine(),
            TTLinear(768, 768, HIDDEN, HIDDEN, second, form),
            Sine(),
            torch.nn.Linear(768, 1),
        )


def build_dense(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """The same widths, dense: 608,257 parameters."""
    return dense((21, 768, 768, 1), "sine", seed=seed, ranks=ranks, format=format)


TRAINING = Training(train_defaults.default_phases("subspace_gn"), steps=STEPS, schedule=Schedule.linear)
RECIPE = Recipe(
    name="hjb20",
    title="HJB equation in 20 dimensions (paper eq. 14), 21-768-768-1, tensor trains of rank 4",
    build=build,
    problem=PROBLEM,
    training=TRAINING,
    trainings=in_units(steps=12, ridge=1e-3),
    derivative=Derivative.compensated_jet,  # N = 1 has none: a jet's roundings are 1e-5 of what is left of them
)
RANK_10 = dataclasses.replace(
    RECIPE,
    name="hjb20-rank10",
    title=RECIPE.title.replace("rank 4", "rank 10"),
    build=partial(build, rank=10),
    derivative=Derivative.jet,
)
DENSE = dataclasses.replace(
    RECIPE,
    name="hjb20-mlp",
    title="HJB equation in 20 dimensions (paper eq. 14), 21-768-768-1, dense",
    build=build_dense,
    derivative=Derivative.jet,
)

# ---- the relative: u is no affine function, and faces carry boundary rows -------------------------------------------


def exact_lq(x, t):
    tau = 1.0 - t
    return pde.sum(x * x) / (1.0 + 0.2 * tau) + 200.0 * pde.log1p(0.2 * tau) - 40.0 * tau


LQ_PROBLEM = pde.Problem(
    space=[(0.0, 1.0)] * DIMENSION,
    time=(0.0, 1.0),
    residual=lambda p: p.u_t + p.lap - 0.05 * pde.sum(p.grad * p.grad) - 40.0,
    solution=lambda n, x, t: (1.0 - t) * n + pde.sum(x * x),
    exact=exact_lq,
    conditions=[pde.on_faces(lambda p: p.u - exact_lq(p.x, p.t), weight=5.0, rows=200)],
    rows=200,
)


def build_lq(ranks: Ranks = None, format: str | None = None, seed: int = 0) -> "torch.nn.Module":
    """21 -> 64 -> 1 with tanh, dense: 1473 parameters."""
    return dense((21, 64, 1), seed=seed, ranks=ranks, format=format)


# a falling rate averages the fits of many batches
LQ_PHASE = dataclasses.replace(train_defaults.default_phases("last_layer_gn")[0], n_queries=64, trust_radius=1.0)
LQ = Recipe(
    name="hjb20-lq",
    title="HJB equation in 20 dimensions with a quadratic terminal value, 21-64-1",
    build=build_lq,
    problem=LQ_PROBLEM,
    training=Training((LQ_PHASE,), steps=250, schedule=Schedule.linear),
    trainings=in_units(steps=300, ridge=1e-3),
)
