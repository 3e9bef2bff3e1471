# SPDX-License-Identifier: MIT
"""Counter-based noise, bit for bit that of `device_runtime/number/random.c`: every number is a function of (seed, what it is
for). Philox4x32-10 is from Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011)."""

import numpy as np

from ttzo.device_runtime.contract import Direction, Stream
from ttzo.host_tools.reference.number import real

_U32 = np.uint32
_F = np.float32


# ---- Philox4x32-10 --------------------------------------------------------------------------------------------------


def philox(counter: np.ndarray, key: int) -> np.ndarray:
    """128 random bits for each counter: (..., 4) uint32 -> (..., 4) uint32. `key` has 64 bits, its low word first."""
    x0, x1, x2, x3 = np.moveaxis(np.asarray(counter, np.uint32), -1, 0)
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(10):
        a = x0.astype(np.uint64) * np.uint64(0xD2511F53)
        b = x2.astype(np.uint64) * np.uint64(0xCD9E8D57)
        x0, x1 = _high(b) ^ x1 ^ _U32(k0), b.astype(np.uint32)
        x2, x3 = _high(a) ^ x3 ^ _U32(k1), a.astype(np.uint32)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=-1)


def _high(product: np.ndarray) -> np.ndarray:
    return (product >> np.uint64(32)).astype(np.uint32)


def _counters(first: np.ndarray, second: int, third: np.ndarray, stream: Stream) -> np.ndarray:
    columns = np.broadcast_arrays(first, _U32(second), third, _U32(stream))
    return np.stack(columns, axis=-1).astype(np.uint32)


# ---- directions -----------------------------------------------------------------------------------------------------


def direction(n: int, kind: Direction, seed: int, step: int, query: int) -> np.ndarray:
    """Direction number `query` of step `step`: float32[n], Rademacher (+1 or -1) or Gaussian N(0, 1)."""
    block_size = 4 if kind == Direction.gaussian else 128
    blocks = np.arange(-(-n // block_size), dtype=np.uint32)
    words = philox(_counters(blocks, query, np.array(step, _U32), Stream.direction), seed)
    numbers = normals(words) if kind == Direction.gaussian else _signs(words)
    return numbers.reshape(-1)[:n]


def direction_add(base: np.ndarray, scale: float, kind: Direction, seed: int, step: int, query: int) -> np.ndarray:
    """base + scale v for that direction v, in the device's arithmetic: float32[n] -> a new float32[n]."""
    return _F(scale) * direction(len(base), kind, seed, step, query) + np.asarray(base, np.float32)


def _signs(words: np.ndarray) -> np.ndarray:
    """(blocks, 4) words -> (blocks, 4, 32) signs, lowest bit first."""
    bits = words[..., None] >> np.arange(32, dtype=np.uint32) & _U32(1)
    return np.where(bits == 1, _F(1.0), _F(-1.0))


def normals(words: np.ndarray) -> np.ndarray:
    """(blocks, 4) words -> (blocks, 2, 2) normal numbers by Box-Muller, a pair from each two words."""
    step = _F(2.0**-24)
    u = ((words[:, 0::2] >> _U32(8)) + _U32(1)).astype(np.float32) * step
    radius = real.sqrt(_F(-2.0) * real.log(u))
    sine, cosine = real.sin_cos_turns((words[:, 1::2] >> _U32(8)).astype(np.float32) * step)
    return np.stack([radius * cosine, radius * sine], axis=-1)


# ---- sample order ---------------------------------------------------------------------------------------------------


def sample_rows(seed: int, positions: np.ndarray, n: int) -> np.ndarray:
    """Rows (int64, of n) of the samples at `positions`, counted from the start of training: each epoch of n positions
    is a permutation of the rows, a new one every time."""
    positions = np.asarray(positions, np.uint64)
    epochs = (positions // np.uint64(n)).astype(np.uint32)
    slots = (positions % np.uint64(n)).astype(np.uint32)
    half = max(1, -(-(n - 1).bit_length() // 2))
    rows = _permute(slots, half, epochs, seed)
    while (outside := rows >= n).any():
        rows[outside] = _permute(rows[outside], half, epochs[outside], seed)
    return rows.astype(np.int64)


def batch_rows(seed: int, step: int, batch: int, n: int) -> np.ndarray:
    """Row numbers of the batch that the step after `step` steps takes from `n` rows."""
    return sample_rows(seed, step * batch + np.arange(batch), n)


def _permute(numbers: np.ndarray, half: int, epochs: np.ndarray, seed: int) -> np.ndarray:
    """A permutation of the numbers below 2^(2 half), one for each epoch: four Feistel rounds."""
    mask = _U32((1 << half) - 1)
    left, right = numbers >> _U32(half), numbers & mask
    for turn in range(4):
        words = philox(_counters(right, turn, epochs, Stream.sample_order), seed)
        left, right = right, left ^ (words[..., 0] & mask)
    return left << _U32(half) | right
