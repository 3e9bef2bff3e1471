# SPDX-License-Identifier: MIT
"""The rows of a known data set, before they are checked against a model."""

from typing import NamedTuple

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


class KnownRows(NamedTuple):
    """x (n, numbers) and classes int64 (n,) of each part; `labels`: the classes' names, where they have any."""

    train: Pair
    test: Pair
    validation: Pair | None = None
    labels: tuple[str, ...] | None = None
