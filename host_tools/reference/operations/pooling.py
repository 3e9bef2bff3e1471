# SPDX-License-Identifier: MIT
"""Twin of pooling.c: windows of an image, their numbers row by row."""

import numpy as np

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.pooling import Pool
from ttzo.host_tools.reference.operations.bounded import UNIT, Bounded


def _windows(pool: Pool, x: np.ndarray, beyond: float) -> np.ndarray:
    """[kernel numbers, channels, out rows, out columns, n]; `beyond` stands where the border is passed."""
    image = x.reshape(pool.channels, pool.height, pool.width, -1)
    border = ((0, 0), (pool.padding_top, pool.padding_bottom), (pool.padding_left, pool.padding_right), (0, 0))
    image = np.pad(image, border, constant_values=beyond)
    rows, columns = pool.out_height * pool.stride_height, pool.out_width * pool.stride_width
    parts = [
        image[:, i : i + rows : pool.stride_height, j : j + columns : pool.stride_width]
        for i in range(pool.kernel_height)
        for j in range(pool.kernel_width)
    ]
    return np.stack([part[:, : pool.out_height, : pool.out_width] for part in parts])


def _counts(pool: Pool) -> np.ndarray:
    """Numbers that each mean is taken over, [1, out rows, out columns, 1]."""
    if pool.count_padding:
        return np.full((1, 1, 1, 1), pool.kernel_height * pool.kernel_width)
    ones = np.ones((pool.channels * pool.height * pool.width, 1))
    return _windows(pool, ones, 0)[:, :1].sum(axis=0).astype(int)


def forward(pool: Pool, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    if NodeOperation.max_pool == pool.CODE:
        windows = _windows(pool, x[0], -np.inf)
        best = windows[0]
        for part in windows[1:]:
            best = np.where((part > best) | (part != part), part, best)
        return best.reshape(pool.n_outputs, -1)
    windows = _windows(pool, x[0], 0)
    total = np.zeros_like(windows[0])
    for part in windows:
        total = total + part
    return (total / _counts(pool).astype(x[0].dtype)).reshape(pool.n_outputs, -1)


def bounded(pool: Pool, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    if NodeOperation.max_pool == pool.CODE:
        exact, error = _windows(pool, x[0].exact, -np.inf).max(axis=0), _windows(pool, x[0].error, 0).max(axis=0)
    else:
        windows, error, counts = _windows(pool, x[0].exact, 0), _windows(pool, x[0].error, 0), _counts(pool)
        exact = windows.sum(axis=0) / counts
        error = (error.sum(axis=0) + (len(windows) + 2) * UNIT * (np.abs(windows) + error).sum(axis=0)) / counts
    return Bounded(exact.reshape(pool.n_outputs, -1), error.reshape(pool.n_outputs, -1))
