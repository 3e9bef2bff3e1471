# SPDX-License-Identifier: MIT
from types import SimpleNamespace

import kept_objects
import pytest
from c_library import library_opener
from measure_slow import name_of, slow_functions

from ttzo.device_runtime.contract import Arithmetic
from ttzo.host_tools.firmware import build


def pytest_collection_modifyitems(items):
    """Marks the tests that tests/slow.txt lists."""
    slow = slow_functions()
    for item in items:
        if name_of(item) in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def sockets_close_at_once():
    """pyserial sleeps 0.3 s whenever a socket is closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serial.urlhandler.protocol_socket.time", SimpleNamespace(sleep=lambda _: None))
        yield


@pytest.fixture(scope="session", autouse=True)
def runtime_is_compiled_once():
    """Firmware is linked from objects that the tests share; those of test_build.py that claim something about compiling ask
    for `kept_objects.ANEW`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_compile_all", kept_objects.compile_all)
        yield


@pytest.fixture(scope="session")
def c_library():
    """`c_library("number/real.c", ..., extra=C_TEXT, flags=FUSED)`: those sources as an open ctypes library."""
    return library_opener()


@pytest.fixture(scope="session")
def native_executable():
    """`ttzo-native` in separate arithmetic."""
    return build.build_native(Arithmetic.separate)
