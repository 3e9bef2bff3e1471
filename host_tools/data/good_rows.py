# SPDX-License-Identifier: MIT
"""Which rows of a table are good and which anomalous, by their label."""

import numpy as np

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.number_labels import names_text, whole_numbers

GOOD_WORDS = ("normal", "good", "ok", "healthy", "no", "false", "benign")
NAMES = ("good", "anomalous")


def anomalous(source: str, labels: np.ndarray, good: str | None) -> np.ndarray:
    """int64 (n,): 1 where the label (n,), words or numbers, is another than `good`; None: 0 and the words of `GOOD_WORDS`
    are good. Raises `DataError` where no row is good."""
    numbers = whole_numbers(labels)
    if good is None:
        is_good = numbers == 0 if numbers is not None else np.isin([word.lower() for word in labels], GOOD_WORDS)
    elif numbers is None:
        is_good = labels == good
    else:
        wanted = whole_numbers(np.array([good], object))
        is_good = numbers == wanted[0] if wanted is not None else np.zeros(len(labels), bool)
    if len(labels) and not is_good.any():
        known = names_text(tuple(sorted({str(label) for label in labels})))
        raise DataError(f"{source}: no row is good; the labels are {known}", "name the label of good rows with --good")
    return (~is_good).astype(np.int64)
