# SPDX-License-Identifier: MIT
"""Columns brought to a centre of 0 and a spread of 1, fitted on training rows alone.

The centre is taken away in float64 before a row becomes float32: a column of a large mean and a small deviation would
lose its digits otherwise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.host_tools.data.data_error import DataError

QUARTILES_OF_NORMAL = 1.3489795003921634  # between the quartiles of a normal distribution of deviation 1
NEGLIGIBLE = 1e-9  # a deviation that is this part of the largest value is rounding: the column is constant


@dataclass(frozen=True, eq=False)
class Normalisation:
    """(x - centre) / spread for each column, float64 (columns,)."""

    centre: np.ndarray
    spread: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """float64 (n, columns)."""
        return (x - self.centre) / self.spread

    def undo(self, x: np.ndarray) -> np.ndarray:
        return x * self.spread + self.centre

    def windowed(self, window: int) -> "Normalisation":
        """The same for windows of so many rows, channel by channel."""
        return Normalisation(np.repeat(self.centre, window), np.repeat(self.spread, window))

    def as_json(self) -> dict[str, list[float]]:
        return {"centre": self.centre.tolist(), "spread": self.spread.tolist()}

    @classmethod
    def from_json(cls, page: Any) -> "Normalisation":
        """The inverse of `as_json`. Raises `DataError` for a damaged page."""
        try:
            centre, spread = (np.array(page[name], float) for name in ("centre", "spread"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("the recorded normalisation is damaged", "train again with --restart") from error
        if centre.shape != spread.shape or centre.ndim != 1 or not (np.isfinite(centre) & (spread > 0)).all():
            raise DataError("the recorded normalisation is damaged", "train again with --restart")
        return cls(centre, spread)


def fit(x: np.ndarray, kind: str) -> Normalisation:
    """Of x (n, columns) without missing numbers: mean and standard deviation (`standard`), or median and the distance of
    the quartiles in deviations of a normal distribution (`robust`). A column that does not vary keeps spread 1."""
    x = x.astype(float)
    if kind == "standard":
        centre, spread = x.mean(0), x.std(0)
    else:
        low, centre, high = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
        spread = (high - low) / QUARTILES_OF_NORMAL
        spread = np.where(spread > 0, spread, x.std(0))  # half of the rows are equal
    flat = spread <= NEGLIGIBLE * np.abs(x).max(0, initial=0)
    return Normalisation(centre, np.where(flat, 1.0, spread))
