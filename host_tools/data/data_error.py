# SPDX-License-Identifier: MIT
"""The error of data that cannot be used."""

from ttzo.device_runtime.contract import TtzoError


class DataError(TtzoError):
    """Training data that cannot be used as they are."""
