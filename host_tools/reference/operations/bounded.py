# SPDX-License-Identifier: MIT
"""Numbers with a bound of what float32 computation may have made of them: a running error analysis in double precision.

Every operation has a `bounded` beside its `forward`: the exact result for exact inputs, and how far a float32 computation
in any order of sums may be from it. Two implementations then differ by no more than twice the bound.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

UNIT = 2.0**-24  # largest relative rounding error of one float32 operation
TINY = 2.0**-149


@dataclass
class Bounded:
    """`exact` float64 and `error`, of one shape: a computed number lies within `error` of `exact`."""

    exact: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Bounded":
        """Numbers that are what they are: parameters, inputs."""
        values = np.asarray(values, np.float64)
        return cls(values, np.zeros_like(values))

    def rounded(self, operations: int = 1) -> "Bounded":
        """The same after so many roundings of its own size."""
        size = np.abs(self.exact) + self.error
        return Bounded(self.exact, self.error + operations * UNIT * size + TINY)

    def __add__(self, other: "Bounded") -> "Bounded":
        return Bounded(self.exact + other.exact, self.error + other.error).rounded()

    def __sub__(self, other: "Bounded") -> "Bounded":
        return Bounded(self.exact - other.exact, self.error + other.error).rounded()

    def __mul__(self, other: "Bounded") -> "Bounded":
        error = np.abs(self.exact) * other.error + np.abs(other.exact) * self.error + self.error * other.error
        return Bounded(self.exact * other.exact, error).rounded()

    def map(self, function: Callable[[np.ndarray], np.ndarray], slope: float, error: float = 2.0**-20) -> "Bounded":
        """A function whose slope is nowhere steeper, computed to within `error` of itself or of 1."""
        y = function(self.exact)
        return Bounded(y, slope * self.error + error * np.maximum(np.abs(y), 1.0))

    def moved(self, change: Callable[[np.ndarray], np.ndarray]) -> "Bounded":
        """The numbers in other places: the same is done to both arrays."""
        return Bounded(change(self.exact), change(self.error))

    def sum(self, axis: int) -> "Bounded":
        """A sum in any order."""
        count, size = self.exact.shape[axis], (np.abs(self.exact) + self.error).sum(axis)
        return Bounded(self.exact.sum(axis), self.error.sum(axis) + count * UNIT * size + TINY)


def product(left: Bounded, right: Bounded, pattern: str) -> Bounded:
    """Sums of products in any order: `pattern` is that of np.einsum; the index that is summed is the first one missing."""

    def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum(pattern, a, b)

    a, b = np.abs(left.exact), np.abs(right.exact)
    inputs, result = pattern.split("->")
    first, second = inputs.split(",")
    lengths = dict(zip(first, left.exact.shape, strict=True)) | dict(zip(second, right.exact.shape, strict=True))
    length = np.prod([size for index, size in lengths.items() if index not in result])
    error = both(a, right.error) + both(left.error, b) + both(left.error, right.error)
    size = both(a + left.error, b + right.error)
    return Bounded(both(left.exact, right.exact), error + (length + 1) * UNIT * size + TINY)
