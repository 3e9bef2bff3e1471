# SPDX-License-Identifier: MIT
import pytest
from c_library import library_opener
from devices import compile_native


@pytest.fixture(scope="session")
def c_library(tmp_path_factory):
    """`c_library("real.c", ..., extra=C_TEXT, flags=FUSED)`: those sources as an open ctypes library, compiled once."""
    return library_opener(lambda: tmp_path_factory.mktemp("c_library"))


@pytest.fixture(scope="session")
def native_executable(tmp_path_factory):
    """`ttzo-native` in separate arithmetic."""
    return compile_native(tmp_path_factory.mktemp("native"))
