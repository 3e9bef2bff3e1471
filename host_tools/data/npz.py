# SPDX-License-Identifier: MIT
"""Reads .npz files that may be damaged, or none at all."""

from collections.abc import Collection
from pathlib import Path

import numpy as np


def read(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The file's arrays; of `names`, those that are there. Raises `ValueError` with the reason when it is unreadable.

    Whatever numpy and zipfile raise counts as that: a flipped bit brings forth a dozen kinds of exceptions, from
    BadZipFile to TokenError and RuntimeError ("encrypted").
    """
    try:
        # opened here: numpy forgets to close a file that is damaged
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file if names is None or name in names}
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
