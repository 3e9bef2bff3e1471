# SPDX-License-Identifier: MIT
"""Windows of a time series: each sample holds `window` rows that follow each other, the channels one after the other, as
a convolution over time reads them."""

import numpy as np


def segments_of(*values: np.ndarray) -> np.ndarray:
    """int64 (n,): a number that goes up by one wherever any of `values` (n,) changes from one row to the next."""
    changes = np.zeros(max(0, len(values[0]) - 1), bool)
    for each in values:
        changes |= each[1:] != each[:-1]
    return np.concatenate([np.zeros(min(1, len(values[0])), np.int64), np.cumsum(changes)])


def starts(segments: np.ndarray, window: int, hop: int) -> np.ndarray:
    """int64 (m,): the first rows of windows that lie in one segment (int64 (n,)) as a whole, `hop` rows apart."""
    bounds = np.flatnonzero(np.diff(segments, prepend=segments[:1] - 1, append=segments[-1:] + 1))
    found = [np.arange(first, end - window + 1, hop) for first, end in zip(bounds, bounds[1:], strict=False)]
    return np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)


def cut(x: np.ndarray, first: np.ndarray, window: int) -> np.ndarray:
    """Rows x (n, channels) -> windows (m, channels * window) that begin at `first` (m,): channel by channel, each in the
    order of time."""
    at = first[:, None] + np.arange(window)  # [m, window]
    return np.ascontiguousarray(x[at].transpose(0, 2, 1)).reshape(len(first), window * x.shape[1])


def label(classes: np.ndarray, first: np.ndarray, window: int, rule: str) -> np.ndarray:
    """The window's class (m,): of its last row, the largest one of its rows (`any`), or the one of most rows (`majority`; of
    equally many, the lowest)."""
    if rule == "last" or not len(first):
        return classes[first + window - 1]
    inside = classes[first[:, None] + np.arange(window)]
    if rule == "any":
        return inside.max(1)
    counts = np.stack([(inside == kind).sum(1) for kind in range(classes.max() + 1)], 1)
    return counts.argmax(1)
