# SPDX-License-Identifier: MIT
import pytest
from c_library import library_opener


@pytest.fixture(scope="session")
def c_library(tmp_path_factory):
    """`c_library("real.c", ..., extra=C_TEXT, flags=FUSED)`: those sources as an open ctypes library, compiled once."""
    return library_opener(lambda: tmp_path_factory.mktemp("c_library"))
