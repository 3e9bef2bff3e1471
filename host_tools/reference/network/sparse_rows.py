# SPDX-License-Identifier: MIT
"""Training rows without their zeros, as a device keeps them in the region sparse: twin of sparse_rows.c.

MNIST's 60,000 rows take 15 MB instead of 47. The layout stands in contract.toml, struct sparse_rows.
"""

import numpy as np

from ttzo.device_runtime.contract import DeviceError, SparseRows
from ttzo.exporter.plan.loss_options import NO_CLASS


def pack(rows: np.ndarray, in_features: int, number_bytes: int) -> bytes:
    """The region's bytes for rows as they are sent, uint8 [n, row_bytes]: `in_features` numbers of `number_bytes` each,
    then the target."""
    n, inputs = len(rows), in_features * number_bytes
    numbers = rows[:, :inputs].reshape(n, in_features, number_bytes)
    there = numbers.any(axis=2)
    masks = np.packbits(there, axis=1, bitorder="little")
    kept, targets = numbers[there], rows[:, inputs:]  # kept [all that are there, number_bytes], row by row
    last = np.cumsum(there.sum(axis=1))
    first = last - there.sum(axis=1)
    parts = [masks[i].tobytes() + kept[first[i] : last[i]].tobytes() + targets[i].tobytes() for i in range(n)]
    ends = SparseRows.SIZE + 4 * n + np.cumsum([len(part) for part in parts], dtype=np.int64)
    if n and ends[-1] >= 1 << 32:
        raise ValueError(f"{n} rows take {ends[-1]:,} bytes, more than a region can hold")
    return b"".join([SparseRows(n).pack(), ends.astype("<u4").tobytes(), *parts])


def unpack(content: bytes, in_features: int, number_bytes: int, row_bytes: int) -> np.ndarray:
    """The rows as they are sent, uint8 [n, row_bytes], from what `pack` made."""
    n = SparseRows.unpack(content).n_rows
    ends = np.frombuffer(content, "<u4", n, SparseRows.SIZE)
    rows, begin, mask_bytes = np.zeros((n, row_bytes), np.uint8), SparseRows.SIZE + 4 * n, -(-in_features // 8)
    for row, end in zip(rows, ends, strict=True):
        part = np.frombuffer(content, np.uint8, end - begin, begin)
        there = np.unpackbits(part[:mask_bytes], bitorder="little")[:in_features].astype(bool)
        inputs, target = in_features * number_bytes, row_bytes - in_features * number_bytes
        row[:inputs].reshape(in_features, number_bytes)[there] = part[mask_bytes:-target].reshape(-1, number_bytes)
        row[inputs:] = part[-target:]
        begin = end
    return rows


def check(
    content: bytes, in_features: int, number_bytes: int, row_bytes: int, n_classes: int = 0, pads: bool = False
) -> int:
    """How many rows `content` holds; `n_classes` is 0 where targets are no classes; `pads`: NO_CLASS is one too.

    Raises `DeviceError` with the row's number: `bad_sparse_rows` for one that is not what `pack` makes, `bad_label`.
    """
    size = SparseRows.SIZE
    if len(content) < size or (n := SparseRows.unpack(content).n_rows) > (len(content) - size) // 4:
        raise DeviceError("bad_sparse_rows", 0)
    target, begin = row_bytes - in_features * number_bytes, size + 4 * n
    for row, end in enumerate(np.frombuffer(content, "<u4", n, size).tolist()):
        part = content[begin:end]
        if not begin <= end <= len(content) or not _is_sound(part, in_features, number_bytes, target):
            raise DeviceError("bad_sparse_rows", row)
        classes = np.frombuffer(part[-target:], "<u2") if n_classes else np.zeros(0)
        if ((classes >= n_classes) & ~(pads & (classes == NO_CLASS))).any():
            raise DeviceError("bad_label", row)
        begin = end
    if begin != len(content):
        raise DeviceError("bad_sparse_rows", n)
    return n


def _is_sound(part: bytes, in_features: int, number_bytes: int, target: int) -> bool:
    """Whether one row is as long as its mask says, with no bit after the last input's."""
    mask_bytes = -(-in_features // 8)
    mask = int.from_bytes(part[:mask_bytes], "little")
    long_enough = len(part) >= mask_bytes + target and mask < 1 << in_features
    return long_enough and len(part) == mask_bytes + mask.bit_count() * number_bytes + target
