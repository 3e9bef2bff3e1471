# SPDX-License-Identifier: MIT
"""Twin of coordinate_window.c."""

import numpy as np


def refreshed(n_parameters: int, n_coordinates: int, age: int) -> np.ndarray:
    """cocd: which coordinates are differentiated `age` steps into the phase, bool [n_parameters]."""
    length = min(n_coordinates, n_parameters)
    wanted = np.zeros(n_parameters, bool)
    wanted[(age * length + np.arange(length)) % n_parameters] = True
    return wanted
