# SPDX-License-Identifier: MIT
"""Twin of learnt_array.c."""

import numpy as np

from ttzo.exporter.operations.learnt_array import LearntArray
from ttzo.host_tools.reference.operations.bounded import Bounded
from ttzo.host_tools.reference.operations.jet import Jet


def forward(operation: LearntArray, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    """[numbers, 1]: the same for every row."""
    return tensors[0][:, None]


def bounded(operation: LearntArray, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    return Bounded.of(tensors[0][:, None])


def jet(operation: LearntArray, tensors: list[np.ndarray], shape: Jet, x: list[np.ndarray]) -> np.ndarray:
    """[columns, numbers, 1]: an array that does not move."""
    made = np.zeros((shape.columns, tensors[0].size, 1), np.float32)
    made[0] = forward(operation, tensors, x)
    return made
