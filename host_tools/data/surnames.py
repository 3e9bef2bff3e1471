# SPDX-License-Identifier: MIT
"""The data set `surnames`: the 32,000 most frequent surnames of the United States' census of 1990, letter by letter.

The package names (MIT licence) brings the census's own list, which is in the public domain. A model reads the letters up
to a place and gives the next one: token 0 stands before the first letter and after the last, 1 to 26 are A to Z.
"""

import numpy as np

from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.host_tools.data import wheel_files

NAME, COUNT = "surnames", 32_000
PLACES = 14  # the longest surname has 13 letters
END, FIRST = 0, ord("A") - 1
INSTALL = "pip install names==0.3.0"
FILE, SHA256 = "dist.all.last", "b0e2b3743ccbad641ca48b344c24cdebcd1d9a1f76dc6dbf05986f2919f0b4e1"


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Letters uint8 (n, PLACES), and at each place the letter that follows, int64 (n, PLACES), NO_CLASS after the end.
    Raises `DataError`."""
    lines = wheel_files.read("names", FILE, SHA256, INSTALL).decode("ascii").splitlines()
    return encoded([line.split()[0] for line in lines[:COUNT]])


def encoded(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """`rows` of these names, of capital letters, each shorter than PLACES."""
    x = np.full((len(names), PLACES), END, np.uint8)
    y = np.full((len(names), PLACES), NO_CLASS, np.int64)
    for row, name in enumerate(names):
        letters = [ord(letter) - FIRST for letter in name]
        x[row, 1 : len(name) + 1] = letters
        y[row, : len(name) + 1] = [*letters, END]
    return x, y
