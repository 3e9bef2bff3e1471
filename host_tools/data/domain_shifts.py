# SPDX-License-Identifier: MIT
"""Images from another domain than the training's: turned, moved, inverted, noisy. What a board meets after deployment."""

from collections.abc import Callable

import numpy as np

from ttzo.host_tools.data.data_error import DataError

ANGLE = np.deg2rad(30)
MOVE = (3, 3)
NOISE = 0.4  # standard deviation, of the full range
_NOISE_SEED = 0


def _square(x: np.ndarray) -> np.ndarray:
    """Rows (n, pixels) uint8 as square images (n, side, side)."""
    side = round(x.shape[1] ** 0.5)
    if side * side != x.shape[1] or x.dtype != np.uint8:
        raise DataError(
            f"rows of {x.shape[1]} {x.dtype} numbers are not square grey images", "give images such as MNIST's"
        )
    return x.reshape(-1, side, side)


def rotated(x: np.ndarray) -> np.ndarray:
    """Turned by 30 degrees about the centre, counter-clockwise, bilinear, zeros from outside."""
    images = _square(x)
    side = images.shape[1]
    middle, at = (side - 1) / 2, np.arange(side)
    row, column = np.meshgrid(at - middle, at - middle, indexing="ij")
    sine, cosine = np.sin(ANGLE), np.cos(ANGLE)
    from_row, from_column = cosine * row + sine * column + middle, cosine * column - sine * row + middle
    first, left = np.floor(from_row).astype(int), np.floor(from_column).astype(int)
    down, right = from_row - first, from_column - left
    framed = np.pad(images.astype(float), ((0, 0), (side, side), (side, side)))
    turned = np.zeros(images.shape)
    for i, j, weight in (
        (0, 0, (1 - down) * (1 - right)), (0, 1, (1 - down) * right), (1, 0, down * (1 - right)), (1, 1, down * right)
    ):  # fmt: skip
        turned += weight * framed[:, first + i + side, left + j + side]
    return np.rint(turned).astype(np.uint8).reshape(x.shape)


def moved(x: np.ndarray) -> np.ndarray:
    """3 pixels down and 3 to the right; zeros take the free place."""
    images = _square(x)
    result = np.zeros_like(images)
    down, right = MOVE
    result[:, down:, right:] = images[:, :-down, :-right]
    return result.reshape(x.shape)


def inverted(x: np.ndarray) -> np.ndarray:
    """Black for white."""
    return 255 - _square(x).reshape(x.shape)


def noisy(x: np.ndarray) -> np.ndarray:
    """Gaussian noise of 0.4 of the full range, cut off at both ends; the same for the same rows."""
    noise = np.random.default_rng(_NOISE_SEED).normal(0, NOISE * 255, x.shape)
    return np.rint(np.clip(_square(x).reshape(x.shape) + noise, 0, 255)).astype(np.uint8)


SHIFTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotate": rotated,
    "move": moved,
    "invert": inverted,
    "noise": noisy,
}
