# SPDX-License-Identifier: MIT
"""Twin of transpose.c."""

import numpy as np

from ttzo.exporter.operations.transpose import Transpose
from ttzo.host_tools.reference.operations.bounded import Bounded


def forward(operation: Transpose, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    shaped = x[0].reshape(*operation.sizes, -1)
    return np.ascontiguousarray(shaped.transpose(*operation.axes, 4)).reshape(x[0].shape)


def bounded(operation: Transpose, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    return x[0].moved(lambda part: forward(operation, tensors, [part]))
