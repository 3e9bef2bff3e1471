# SPDX-License-Identifier: MIT
"""Augmentation: twin of device_runtime/network/vary_row.c."""

import numpy as np

from ttzo.device_runtime.contract import Number, Stream
from ttzo.exporter.plan.augmentation import Augmentation
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE
from ttzo.host_tools.reference.number.random import normals, philox

_F = np.float32
_RANGE = {Number.uint8: (0.0, 255.0), Number.int16: (-32768.0, 32767.0)}


def varied_rows(plan: Plan, rows: np.ndarray, seed: int, step: int) -> np.ndarray:
    """The rows of a step as they are sent, uint8 [batch, row_bytes], as the step sees them, of a plan with augmentation."""
    assert plan.augmentation is not None
    kind = NUMBER_DTYPE[plan.input_number]
    inputs = kind.itemsize * plan.in_features
    raw = np.ascontiguousarray(rows[:, :inputs]).view(kind)
    made = varied(plan.augmentation, plan.input_number, raw, seed, step)
    return np.concatenate([made.view(np.uint8), rows[:, inputs:]], axis=1)


def varied(augmentation: Augmentation, number: Number, raw: np.ndarray, seed: int, step: int) -> np.ndarray:
    """The raw inputs [batch, in_features] of a step's rows as the step sees them: a new array of the same type."""
    rows = raw.reshape(len(raw), *augmentation.shape).copy()
    for slot, row in enumerate(rows):
        words = _words(np.zeros(1, np.uint32), slot, step, seed)[0]
        down, right = (
            int(word) % (2 * most + 1) - most for word, most in zip(words[:2], augmentation.shift, strict=True)
        )
        row[:] = _shifted(row, down, right)
        if augmentation.scaling > 0 or augmentation.jitter > 0:
            row[:] = _scaled(augmentation, number, row, slot, step, seed)
    return rows.reshape(raw.shape)


def _words(blocks: np.ndarray, slot: int, step: int, seed: int) -> np.ndarray:
    """(blocks, 4) words of noise."""
    counters = np.stack(
        [blocks, *(np.full_like(blocks, value) for value in (slot, step, int(Stream.augmentation)))], axis=-1
    )
    return philox(counters, seed)


def _shifted(row: np.ndarray, down: int, right: int) -> np.ndarray:
    """[channels][height][width] moved; zeros move in, of a window (height 1) the number at its end."""
    _, height, width = row.shape
    y, x = np.arange(height) - down, np.arange(width) - right
    if height == 1:
        x = np.clip(x, 0, width - 1)
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
    moved = row[:, np.clip(y, 0, height - 1)][:, :, np.clip(x, 0, width - 1)]
    return np.where(inside, moved, row.dtype.type(0))


def _scaled(augmentation: Augmentation, number: Number, row: np.ndarray, slot: int, step: int, seed: int) -> np.ndarray:
    channels = row.shape[0]
    first = 1 + -(-channels // 4)  # block of the first jitter
    factors, noise = np.ones(channels, np.float32), np.zeros(row.size, np.float32)
    with np.errstate(all="ignore"):
        if augmentation.scaling > 0:
            drawn = normals(_words(np.arange(1, first, dtype=np.uint32), slot, step, seed)).reshape(-1)[:channels]
            factors = _F(augmentation.scaling) * drawn + _F(1)
        if augmentation.jitter > 0:
            blocks = np.arange(first, first + -(-row.size // 4), dtype=np.uint32)
            noise = _F(augmentation.jitter) * normals(_words(blocks, slot, step, seed)).reshape(-1)[: row.size]
        made = factors[:, None, None] * row.astype(np.float32) + noise.reshape(row.shape)
    if number == Number.float32:
        return made
    return np.clip(np.rint(np.clip(made, *_RANGE[number])), *_RANGE[number]).astype(row.dtype)
