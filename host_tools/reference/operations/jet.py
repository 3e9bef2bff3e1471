# SPDX-License-Identifier: MIT
"""What passes the nodes of a graph besides the value: twin of `struct ttzo_jet`."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Jet:
    """Derivatives along `n` directions, each up to `order`, and with `n_summed` the sum of the second ones along the first of
    them, with order 1. Columns of an array: value, first derivatives, second ones, third ones, the sum. In the place of an array
    [numbers, rows] stand arrays [columns, numbers, rows]."""

    n: int
    order: int = 1
    n_summed: int = 0

    @property
    def columns(self) -> int:
        return 1 + self.n * self.order + bool(self.n_summed)

    def of_order(self, columns: np.ndarray, order: int) -> np.ndarray:
        """The derivatives of that order, one for each direction: a view."""
        return columns[1 + (order - 1) * self.n :][: self.n]


def side_by_side(columns: np.ndarray) -> np.ndarray:
    """Columns [columns, numbers, rows] as rows of their own: [numbers, columns * rows]."""
    return np.ascontiguousarray(np.moveaxis(columns, 0, 1)).reshape(columns.shape[1], -1)


def apart(rows: np.ndarray, columns: int) -> np.ndarray:
    """The inverse."""
    return np.moveaxis(rows.reshape(len(rows), columns, -1), 1, 0)
