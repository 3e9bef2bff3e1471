# SPDX-License-Identifier: MIT
"""Twin of environments.c: slices of a layer's cores, and the products of cores they are made of.

All cores are (left, m, n, right), as `core_shapes` has them. The batch is the last axis of everything that depends on
the sample. What the C leaves out because it is zero is added here: that changes nothing except the sign of a zero.
"""

from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import Cache, LayerKind
from ttzo.exporter.costs.core_memory import QUERIES_AT_ONCE, core_shapes, matrix_split, middle_core
from ttzo.exporter.operations.layer import Layer
from ttzo.host_tools.reference.network.network import narrowed
from ttzo.host_tools.reference.network.product import multiply

ZERO = np.float32(0)
Keep = Callable[[np.ndarray], np.ndarray]  # what a cache leaves of an array


def cores(layer: Layer, theta: np.ndarray) -> list[np.ndarray]:
    """The layer's cores as views of theta, each of shape (left, m, n, right)."""
    shapes = core_shapes(layer)
    tensors = layer.tensors[: len(shapes)]
    return [theta[t.offset : t.offset + t.size].reshape(shape) for t, shape in zip(tensors, shapes, strict=True)]


# ---- products of cores ----------------------------------------------------------------------------------------------


def left_product(g: list[np.ndarray], k: int) -> np.ndarray:
    """Product of the cores before k, [ml, nl, left_k]."""
    if k == 0:
        return np.ones((1, 1, 1), g[0].dtype)
    if k == 1:
        return g[0][0]
    before, core = left_product(g, k - 1), g[k - 1]
    ml, nl, _ = before.shape
    made = multiply(before[:, None, :, None, None, :], core[:, None, :, None, :, :], ZERO)
    return made.reshape(ml * core.shape[1], nl * core.shape[2], core.shape[3])


def right_product(g: list[np.ndarray], k: int) -> np.ndarray:
    """Product of the cores after k, [right_k, mr, nr]."""
    if k + 1 == len(g):
        return np.ones((1, 1, 1), g[0].dtype)
    if k + 2 == len(g):
        return g[k + 1][..., 0]
    after, core = right_product(g, k + 1), g[k + 1]
    made = multiply(core[:, :, None, :, None, :], after[:, None, None, :, None, :], ZERO)
    return made.reshape(core.shape[0], core.shape[1] * after.shape[1], core.shape[2] * after.shape[2])


def middle_product(g: list[np.ndarray], k: int, n_in: int) -> np.ndarray:
    """2L-way TT: product of the input cores after k, [right_k, nr, middle rank]."""
    if k + 1 == n_in:
        return np.eye(g[k].shape[3], dtype=g[k].dtype)[:, None]
    if k + 2 == n_in:
        return g[k + 1][:, 0]
    after, core = middle_product(g, k + 1, n_in), g[k + 1]
    made = multiply(core[:, 0, :, None, None, :], after[:, None, None], ZERO)
    return made.reshape(core.shape[0], -1, after.shape[2])


def matrix_of(layer: Layer, theta: np.ndarray) -> np.ndarray:
    """The layer's matrix, [in_features, out_features]."""
    g, split = cores(layer, theta), matrix_split(layer)
    if len(g) == 1:
        return g[0][0, ..., 0].T
    left, right = left_product(g, split), right_product(g, split - 1)
    made = multiply(left.transpose(1, 0, 2)[:, None, :, None], right.transpose(0, 2, 1)[:, None, :, None], ZERO)
    return made.reshape(layer.in_features, layer.out_features)


# ---- samples --------------------------------------------------------------------------------------------------------


def states_from_right(g: list[np.ndarray], x: np.ndarray, keep: Keep) -> list[np.ndarray]:
    """State k is x contracted with the cores after k: [nl, n, right_k, mr, batch]."""
    batch = x.shape[-1]
    states = [x.reshape(-1, g[-1].shape[2], 1, 1, batch)]
    for k in reversed(range(1, len(g))):
        a, m, n, b = g[k].shape
        state = states[0].reshape(states[0].shape[0], n * b, -1, batch)
        made = multiply(g[k].reshape(a * m, n * b)[None, :, None, None], state.swapaxes(0, 1)[:, :, None], ZERO)
        states.insert(0, keep(made).reshape(-1, g[k - 1].shape[2], a, m * state.shape[2], batch))
    return states


def states_from_left(g: list[np.ndarray], x: np.ndarray, keep: Keep) -> list[np.ndarray]:
    """State k is x contracted with the cores before k: [ml, left_k, n, nr, batch]."""
    batch = x.shape[-1]
    states = [x.reshape(1, 1, g[0].shape[2], -1, batch)]
    for k in range(len(g) - 1):
        a, m, n, b = g[k].shape
        state = states[-1].reshape(-1, a * n, states[-1].shape[3], batch)
        entries = g[k].transpose(1, 3, 0, 2).reshape(m, b, a * n)
        made = multiply(entries[None, :, :, None, None], state.swapaxes(0, 1)[:, :, None, None], ZERO)
        states.append(keep(made).reshape(-1, b, g[k + 1].shape[2], state.shape[2] // g[k + 1].shape[2], batch))
    return states


def slices(
    layer: Layer, theta: np.ndarray, x: np.ndarray, scale: np.floating, cache: Cache = Cache.float32
) -> list[np.ndarray]:
    """For each core, the slices of its entries at inputs x [in_features, batch], times `scale`:
    [left, n, right, ml, mr, batch]. What is scaled is the array that comes with the sample."""
    g, middle = cores(layer, theta), middle_core(layer)
    keep = np.asarray if cache == Cache.float32 else narrowed
    from_left = states_from_left(g, x, keep)
    if layer.kind == LayerKind.tt_tensor:
        made = [_slices_from_input(g, k, middle, scale * from_left[k]) for k in range(middle)]
    else:
        from_right = states_from_right(g, x, keep)
        made = [_slices_from_right(g, k, scale * from_right[k]) for k in range(middle)]
    return made + [_slices_from_left(g, k, scale * from_left[k]) for k in range(middle, len(g))]


def order_of_slices(layer: Layer, k: int) -> np.ndarray:
    """The order in which slices.c makes the slices of core k: indices into those of (left, n, right) in C order."""
    a, _, n, b = core_shapes(layer)[k]
    number = np.arange(a * n * b).reshape(a, n, b)
    if k >= middle_core(layer):
        lines = number.transpose(2, 1, 0).reshape(b, n * a)
    else:
        lines = number.reshape(1 if layer.kind == LayerKind.tt_tensor else a, -1)
    quads = [lines[:, at : at + QUERIES_AT_ONCE].reshape(-1) for at in range(0, lines.shape[1], QUERIES_AT_ONCE)]
    return np.concatenate(quads)


def _slices_from_right(g: list[np.ndarray], k: int, state: np.ndarray) -> np.ndarray:
    left = left_product(g, k).transpose(2, 0, 1)[:, None, None, :, None, None]
    return multiply(left, state[:, None, :, :, None], ZERO)


def _slices_from_left(g: list[np.ndarray], k: int, state: np.ndarray) -> np.ndarray:
    left = state.transpose(1, 2, 0, 4, 3)[:, :, None, :, None]
    right = right_product(g, k).transpose(2, 0, 1)[:, None, None, :, None, :, None]
    return multiply(left, right, ZERO)


def _slices_from_input(g: list[np.ndarray], k: int, n_in: int, state: np.ndarray) -> np.ndarray:
    middle = middle_product(g, k, n_in).transpose(1, 0, 2)[:, None, None, :, :, None]
    to_rank = multiply(state[0].transpose(0, 1, 3, 2)[:, :, None, None], middle, ZERO)
    outputs = right_product(g, n_in - 1)[..., 0]
    return multiply(to_rank.swapaxes(3, 4)[:, :, :, None, None], outputs[:, None, None, None, None, :, None], ZERO)
