# SPDX-License-Identifier: MIT
"""Ranks chosen by themselves, on the host: from a trained dense model by an error budget, or during training by a
Bayesian prior (paper section 3.1), with the accuracy that each choice costs."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ttzo.device_runtime.contract import LayerKind, TtzoError
from ttzo.exporter.readers.nn import TTLinear, seeded, torch

BATCH = 64
RATE = 3e-3
PRIOR_RATE = 2e-2  # ranks fall slowly: a slice's gradient under the prior is small until it is
NO_LESS_THAN = 1e-12  # of a slice's squares: its logarithm stays finite


@dataclass(frozen=True, eq=False)
class Rows:
    """x float32 (n, inputs), y int64 (n,); test rows apart."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def fit(
    module: torch.nn.Module,
    rows: Rows,
    epochs: int,
    penalty: Callable[[], torch.Tensor] | None = None,
    rate: float = RATE,
    show: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Trains the module by Adam on the cross-entropy, its rate falling to 0 linearly. `penalty` is of the whole set of
    rows, as a log prior is. The same seed gives the same parameters."""
    n, parameters = len(rows.x_train), list(module.parameters())
    steps = epochs * -(-n // BATCH)
    optimiser = torch.optim.Adam(parameters, rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, max(1, steps))
    with seeded(0):
        for epoch in range(epochs):
            for which in torch.randperm(n).split(BATCH):
                loss = torch.nn.functional.cross_entropy(module(rows.x_train[which]), rows.y_train[which])
                if penalty is not None:
                    loss = loss + penalty() / n
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            show(epoch + 1, epochs)


@torch.no_grad()
def accuracy(module: torch.nn.Module, rows: Rows) -> float:
    """Share of the test rows that are right."""
    right = [module(x).argmax(1) == y for x, y in zip(rows.x_test.split(1000), rows.y_test.split(1000), strict=True)]
    return float(torch.cat(right).double().mean())


def trains(module: torch.nn.Module) -> Iterator[TTLinear]:
    """The tensor-train layers, in order."""
    return (part for part in module.modules() if isinstance(part, TTLinear))


def ranks(module: torch.nn.Module) -> tuple[tuple[int, ...], ...]:
    """Interior ranks of each tensor-train layer."""
    return tuple(part.layer.ranks[1:-1] for part in trains(module))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def rebuilt(module: torch.nn.Module, make: Callable[[TTLinear], torch.nn.Module]) -> torch.nn.Module:
    """A copy of an nn.Sequential with make(layer) in the place of each TTLinear. Raises `TtzoError` without any."""
    if not isinstance(module, torch.nn.Sequential) or not any(isinstance(part, TTLinear) for part in module):
        raise TtzoError("the model is not an nn.Sequential with TTLinear layers", "choose another model")
    return torch.nn.Sequential(*(make(p) if isinstance(p, TTLinear) else copy.deepcopy(p) for p in module))


# ---- from a trained dense model ---------------------------------------------------------------------------------------


def dense_twin(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same network with Linear layers, untrained."""

    def linear(part: TTLinear) -> torch.nn.Linear:
        return torch.nn.Linear(part.layer.in_features, part.layer.out_features, part.bias is not None)

    with seeded(seed):
        return rebuilt(module, linear)


def within_error(dense: torch.nn.Module, like: torch.nn.Module, error: float) -> torch.nn.Module:
    """A trained dense twin as trains with the folds of `like`, each layer within that relative error (TT-SVD)."""
    linears = iter(part for part in dense.children() if isinstance(part, torch.nn.Linear))
    formats = {LayerKind.tt_matrix: "matrix", LayerKind.tt_tensor: "tensor"}

    def train(part: TTLinear) -> TTLinear:
        layer = part.layer
        return TTLinear.from_linear(
            next(linears), layer.in_modes, layer.out_modes, format=formats[layer.kind], error=error
        )

    return rebuilt(like, train)


# ---- a Bayesian prior on ranks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RankPrior:
    """Rank r of a bond has a variance lambda_r that its slices in both neighbouring cores share: their entries are
    N(0, lambda_r), log lambda_r is uniform. After Hawkins and Zhang (Neurocomputing 2021) and Hawkins, Liu and Zhang
    (SIAM J. Math. Data Sci. 2022), at its maximum a posteriori.

    With S the sum of squares of the D entries, lambda_r = S / (D + 2) is the best variance; put in, the negative log
    prior is (D + 2) / 2 log S: ranks that the data do not need fall to nothing.
    """

    module: torch.nn.Module

    def variances(self) -> list[list[torch.Tensor]]:
        """lambda_r (r,) of each bond of each tensor-train layer."""
        return [[squares / (size + 2) for squares, size in _bonds(part)] for part in trains(self.module)]

    def penalty(self) -> torch.Tensor:
        """The negative log prior, up to a constant."""
        terms = [
            (size + 2) / 2 * torch.log(squares + NO_LESS_THAN).sum()
            for part in trains(self.module)
            for squares, size in _bonds(part)
        ]
        return sum(terms, torch.zeros(()))

    @torch.no_grad()
    def pruned(self, smallest: float = 1e-2) -> torch.nn.Module:
        """The module without the ranks whose variance is below `smallest` of their bond's largest."""
        kept = iter([[v > smallest * v.max() for v in bonds] for bonds in self.variances()])
        return rebuilt(self.module, lambda part: _with_ranks(part, next(kept)))


def _bonds(part: TTLinear) -> Iterator[tuple[torch.Tensor, int]]:
    """For each bond: sums of squares (r,) over its slices in both cores, and how many entries these are."""
    for left, right in zip(part.cores, part.cores[1:], strict=False):
        squares = left.square().flatten(0, -2).sum(0) + right.square().flatten(1).sum(1)
        yield squares, (left.numel() + right.numel()) // len(squares)


def _with_ranks(part: TTLinear, kept: list[torch.Tensor]) -> TTLinear:
    layer = part.layer
    format = "matrix" if layer.kind == LayerKind.tt_matrix else "tensor"
    made_ranks = tuple(int(mask.sum()) for mask in kept)
    made = TTLinear(
        layer.in_features, layer.out_features, layer.in_modes, layer.out_modes, made_ranks, format, layer.has_bias
    )
    whole = torch.ones(1, dtype=torch.bool)
    for core, old, before, after in zip(made.cores, part.cores, [whole, *kept], [*kept, whole], strict=True):
        core.copy_(old[before][..., after])
    if made.bias is not None and part.bias is not None:
        made.bias.copy_(part.bias)
    return made
