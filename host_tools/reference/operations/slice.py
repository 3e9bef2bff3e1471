# SPDX-License-Identifier: MIT
"""Twin of slice.c."""

import numpy as np

from ttzo.exporter.operations.slice import Slice
from ttzo.host_tools.reference.operations.bounded import Bounded


def forward(operation: Slice, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    end = operation.first + (operation.count - 1) * operation.step + 1
    shaped = x[0].reshape(operation.outer, operation.size, operation.inner, -1)
    return shaped[:, operation.first : end : operation.step].reshape(operation.n_outputs, -1)


def bounded(operation: Slice, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    return x[0].moved(lambda part: forward(operation, tensors, [part]))
