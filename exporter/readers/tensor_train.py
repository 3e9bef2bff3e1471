# SPDX-License-Identifier: MIT
"""Tensor trains in NumPy: folds, ranks for a parameter budget, decomposition of a dense matrix, and the way back.

Both formats (paper section 3.1, eq. 7) describe a weight `W` of shape (out_features, in_features):
`tt_matrix` cores are (r, m, n, r'), one output and one input mode each; `tt_tensor` cores are (r, n, r') for all input
modes, then (r, m, r') for all output modes. Modes are in C order: the first is the slowest.
"""

import dataclasses
import math

import numpy as np

from ttzo.device_runtime.contract import LayerKind
from ttzo.exporter.operations.layer import Layer, PlanError

TYPICAL_MODE = 5  # automatic folds aim at modes of about this size; the paper's have 3 to 8


# ---- folds ----------------------------------------------------------------------------------------------------------


def n_modes(features: int) -> int:
    """How many modes of about `TYPICAL_MODE` make up `features`; at least 1."""
    return max(1, round(math.log(features) / math.log(TYPICAL_MODE)))


def balanced_modes(features: int, count: int) -> tuple[int, ...]:
    """`count` factors of about equal size whose product is exactly `features`, the large ones at both ends.

    A prime stays whole, so 13 in three modes is (13, 1, 1). Large modes are cheapest at the ends, whose cores
    carry one interior rank instead of two.
    """
    modes, rest = [], features
    for left in range(count, 0, -1):
        target = math.log(rest) / left
        divisors = (d for d in range(1, rest + 1) if rest % d == 0)
        mode = rest if left == 1 else min(divisors, key=lambda d: abs(math.log(d) - target))
        modes.append(mode)
        rest //= mode
    modes.sort(reverse=True)
    return tuple(modes[0::2] + modes[1::2][::-1])


def automatic_fold(kind: LayerKind, in_features: int, out_features: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Input and output modes for a layer whose owner gave none. A TT-matrix gets as many on both sides, at least 2."""
    n_in, n_out = n_modes(in_features), n_modes(out_features)
    if kind == LayerKind.tt_matrix:
        n_in = n_out = max(2, n_in, n_out)
    return balanced_modes(in_features, n_in), balanced_modes(out_features, n_out)


# ---- ranks ----------------------------------------------------------------------------------------------------------


def bond_limits(kind: LayerKind, in_modes: tuple[int, ...], out_modes: tuple[int, ...]) -> tuple[int, ...]:
    """The largest rank of each interior bond that still adds something: the smaller side's number of entries."""
    paired = kind == LayerKind.tt_matrix
    sizes = [m * n for m, n in zip(out_modes, in_modes, strict=True)] if paired else [*in_modes, *out_modes]
    return tuple(min(math.prod(sizes[:k]), math.prod(sizes[k:])) for k in range(1, len(sizes)))


def full_ranks(ranks: int | tuple[int, ...], n_bonds: int) -> tuple[int, ...]:
    """(1, ..interior.., 1) from one number for all interior bonds, or one number each. Raises `PlanError`."""
    interior = (ranks,) * n_bonds if isinstance(ranks, int) else tuple(ranks)
    if len(interior) != n_bonds:
        raise PlanError(
            f"{len(interior)} interior ranks {interior} for {n_bonds} bonds",
            "give one rank for all bonds, or one for each",
        )
    return (1, *interior, 1)


def ranks_within(layer: Layer, budget: int) -> tuple[int, ...]:
    """The largest near-uniform ranks with which `layer` has at most `budget` parameters, bias included.

    Grows all bonds together, then single bonds from the left by one more; no bond grows beyond what adds something.
    Raises `PlanError` when even rank 1 does not fit.
    """
    limits = bond_limits(layer.kind, layer.in_modes, layer.out_modes)

    def cost(interior: tuple[int, ...]) -> int:
        return dataclasses.replace(layer, ranks=(1, *interior, 1)).n_parameters

    best = tuple(1 for _ in limits)
    if cost(best) > budget:
        raise PlanError(
            f"{cost(best)} parameters are needed at rank 1, but the budget is {budget}",
            "give a larger budget or another fold",
        )
    for rank in range(2, max(limits, default=1) + 1):
        grown = tuple(min(rank, limit) for limit in limits)
        if cost(grown) > budget:
            break
        best = grown
    uniform = max(best, default=1)
    for bond, limit in enumerate(limits):
        grown = (*best[:bond], min(uniform + 1, limit), *best[bond + 1 :])
        if cost(grown) <= budget:
            best = grown
    return (1, *best, 1)


# ---- values ---------------------------------------------------------------------------------------------------------


def dense_weight(layer: Layer, cores: list[np.ndarray]) -> np.ndarray:
    """`W` of shape (out_features, in_features), rebuilt from the layer's cores in their own precision."""
    if layer.kind == LayerKind.tt_matrix:
        built = np.ones((1, 1, 1), cores[0].dtype)
        for core in cores:
            joined = np.einsum("abr,rmns->ambns", built, core)
            built = joined.reshape(built.shape[0] * core.shape[1], built.shape[1] * core.shape[2], core.shape[3])
        return built[:, :, 0]
    flat = np.ones((1, 1), cores[0].dtype)
    for core in cores:
        flat = (flat @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    return flat.reshape(layer.in_features, layer.out_features).T


def squared_norm(cores: list[np.ndarray]) -> float:
    """Squared Frobenius norm of the train, without rebuilding it."""
    gram = np.ones((1, 1))
    for core in cores:
        flat = core.astype(np.float64).reshape(core.shape[0], -1, core.shape[-1])
        gram = np.einsum("ab,ans,bnt->st", gram, flat, flat, optimize=True)
    return float(gram[0, 0])


def random_cores(layer: Layer, normal: np.ndarray, gain: float = 1.0) -> list[np.ndarray]:
    """Cores of equal scale whose `W` has mean square `gain**2 * 2 / (in_features + out_features)` (Xavier's).

    `normal`: as many N(0, 1) numbers as the cores hold; deciding on the norm of the drawn train itself spares the
    large scatter that a product of few random numbers would have.
    """
    cores, at = [], 0
    for shape in layer.core_shapes:
        size = math.prod(shape)
        cores.append(normal[at : at + size].reshape(shape))
        at += size
    wanted = gain**2 * 2.0 / (layer.in_features + layer.out_features) * layer.in_features * layer.out_features
    scale = (wanted / squared_norm(cores)) ** (1.0 / (2 * len(cores)))
    return [core * scale for core in cores]


def decompose(layer: Layer, weight: np.ndarray, relative_error: float = 0.0) -> list[np.ndarray]:
    """TT-SVD of `weight` (out_features, in_features) in double precision, truncated to the layer's ranks, and further
    as long as ||W - W_tt|| <= `relative_error` ||W|| is sure: each bond may drop singular values of the norm
    relative_error ||W|| / sqrt(bonds) (Oseledets 2011).

    A bond whose matrix has fewer singular values gets that smaller rank, so read the ranks from the cores. All cores
    end with the same root mean square: a train with all its scale in one core trains badly.
    """
    weight = np.asarray(weight, np.float64)
    if layer.kind == LayerKind.tt_matrix:
        count = len(layer.in_modes)
        pairs = [axis for k in range(count) for axis in (k, count + k)]
        rest = weight.reshape(*layer.out_modes, *layer.in_modes).transpose(pairs)
    else:
        rest = weight.T
    cores, left = [], 1
    dropped = relative_error * np.linalg.norm(weight) / math.sqrt(max(1, len(layer.core_shapes) - 1))
    for shape in layer.core_shapes[:-1]:
        u, s, v = np.linalg.svd(rest.reshape(left * math.prod(shape[1:-1]), -1), full_matrices=False)
        tails = np.sqrt(np.cumsum(s[::-1] ** 2))[::-1]  # the norm that goes when rank r is kept
        rank = max(1, min(shape[-1], int(np.count_nonzero(tails > dropped)) if relative_error else s.size))
        cores.append(u[:, :rank].reshape(left, *shape[1:-1], rank))
        rest, left = s[:rank, None] * v[:rank], rank
    cores.append(rest.reshape(left, *layer.core_shapes[-1][1:]))
    return _equal_scale(cores)


def _equal_scale(cores: list[np.ndarray]) -> list[np.ndarray]:
    scales = [float(np.sqrt(np.mean(core**2))) for core in cores]
    if min(scales) == 0.0:
        return cores
    common = math.exp(sum(map(math.log, scales)) / len(scales))
    return [core * (common / scale) for core, scale in zip(cores, scales, strict=True)]
