# SPDX-License-Identifier: MIT
"""The section of constants: parameters of frozen nodes as float32, or their matrices as 8-bit integers.

Of an int8 matrix stand first the scales of its rows, float32 [rows], then its integers, padded to 4 bytes. Its weights are
(float)q * scale, rounded once, on every device.
"""

import math
from collections.abc import Sequence

import numpy as np

from ttzo.exporter.plan.graph import Node, is_int8

LARGEST = 127


def packed(node: Node, values: Sequence[np.ndarray]) -> bytes:
    """The bytes of a frozen node's parameters."""
    made = b""
    for value in values:
        if not is_int8(node, value.shape):
            made += value.astype("<f4").tobytes()
            continue
        largest = np.abs(value).max(axis=1)
        scales = np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1)).astype("<f4")
        numbers = np.clip(np.rint(value / scales[:, None]), -LARGEST, LARGEST).astype(np.int8).tobytes()
        made += scales.tobytes() + numbers + bytes(-len(numbers) % 4)
    return made


def unpacked(node: Node, section: bytes) -> np.ndarray:
    """The parameters of a frozen node as a device computes with them, float32, in the order of `node.tensors`."""
    made, at = [], 4 * node.parameters
    for shape in node.operation.parameter_shapes.values():
        size = math.prod(shape)
        if not is_int8(node, shape):
            made.append(np.frombuffer(section, "<f4", size, at).astype(np.float32))
            at += 4 * size
            continue
        scales = np.frombuffer(section, "<f4", shape[0], at).astype(np.float32)
        numbers = np.frombuffer(section, np.int8, size, at + 4 * shape[0]).reshape(shape)
        made.append((numbers.astype(np.float32) * scales[:, None]).reshape(-1))
        at += 4 * shape[0] + 4 * math.ceil(size / 4)
    return np.concatenate(made)
