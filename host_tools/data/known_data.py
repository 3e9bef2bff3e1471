# SPDX-License-Identifier: MIT
"""Data sets that have a name: where each comes from, and its rows."""

from pathlib import Path

import numpy as np

from ttzo.host_tools.data import appliances, mnist, recordings, series, surnames, unicode_names, watch
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.known_rows import KnownRows, Pair

HOLD_OUT = 5  # without published test rows, every fifth row is kept for the test
NAMES = ("digits", "names", surnames.NAME, "mnist", watch.NAME, *series.SERIES, appliances.NAME, *recordings.RECORDINGS)


def is_known(source: str) -> bool:
    """Whether `source` names one of them, or a part of one, as `watch:4` does."""
    name, colon, _ = source.partition(":")
    return name in NAMES and (not colon or name == watch.NAME)


def read(source: str) -> KnownRows:
    """The rows of a known data set, or of a folder with MNIST's files. Raises `DataError`."""
    if source == "digits":
        x_train, y_train, x_test, y_test = digits()
        return KnownRows((x_train, y_train), (x_test, y_test))
    if source == "names":
        tokens, kinds, _ = unicode_names.rows()
        return KnownRows(*_every_fifth(tokens, kinds))
    if source == surnames.NAME:
        return KnownRows(*_every_fifth(*surnames.rows()))
    if source in series.SERIES:
        return series.rows(source)
    if source == appliances.NAME:
        return appliances.rows()
    if source in recordings.RECORDINGS:
        return recordings.rows(source)
    if is_known(source) and source != "mnist":
        return watch.rows(source)
    x_train, y_train, x_test, y_test = mnist.read_folder(mnist.download() if source == "mnist" else Path(source))
    return KnownRows((x_train, y_train), (x_test, y_test))


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's 8x8 digits, grey values 0 to 16: x_train, y_train, x_test, y_test. Rows sorted by class, every fifth
    is a test row: 1437 + 360, each class in proportion, the same with every version of scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "the data set `digits` comes from scikit-learn, which is not installed", "pip install 'ttzo[digits]'"
        ) from error
    found = load_digits()
    train, test = _every_fifth(found.data.astype(np.uint8), found.target)
    return *train, *test


def _every_fifth(x: np.ndarray, y: np.ndarray) -> tuple[Pair, Pair]:
    """Every fifth row in the order of classes (of sequences: of the data) becomes a test row; both parts keep the order of
    the data."""
    test = np.zeros(len(x), bool)
    test[(np.argsort(y, kind="stable") if y.ndim == 1 else np.arange(len(x)))[::HOLD_OUT]] = True
    return (x[~test], y[~test]), (x[test], y[test])
