# SPDX-License-Identifier: MIT
"""Twin of concat.c."""

import numpy as np

from ttzo.exporter.operations.concat import Concat
from ttzo.host_tools.reference.operations.bounded import Bounded


def forward(operation: Concat, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    n = max(part.shape[1] for part in x)  # a learnt array stands for every row
    parts = [np.broadcast_to(part, (part.shape[0], n)) for part in x]
    shaped = [part.reshape(operation.outer, size, n) for part, size in zip(parts, operation.sizes, strict=True)]
    return np.concatenate(shaped, axis=1).reshape(operation.n_outputs, n)


def bounded(operation: Concat, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    parts = ([part.exact for part in x], [part.error for part in x])
    return Bounded(*(forward(operation, tensors, part) for part in parts))
