# SPDX-License-Identifier: MIT
"""A pseudo-terminal before a socket, for programs that open serial ports only (Linux, macOS)."""

import contextlib
import os
import select
import socket
import threading
from pathlib import Path

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.device import unix_socket

CHUNK_BYTES = 4096


class PtyBridge:
    """Carries bytes between a new pseudo-terminal, at `path`, and the socket at `url`, until it is closed."""

    def __init__(self, url: str):
        try:
            import tty
        except ImportError as error:
            raise TtzoError("this system has no pseudo-terminals", "use the socket") from error
        self._terminal, slave = os.openpty()
        tty.setraw(slave)
        self._slave = slave  # held open: a terminal that nobody has open would read as an error
        self.path = os.ttyname(slave)
        Path(self.path).chmod(0o600)
        self._socket = unix_socket.connect(url)
        self._woken, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                watched: list[int | socket.socket] = [self._terminal, self._socket, self._woken]
                ready, _, _ = select.select(watched, [], [])
                if self._woken in ready:
                    return
                if self._terminal in ready:
                    self._socket.sendall(os.read(self._terminal, CHUNK_BYTES))
                if self._socket in ready:
                    data = self._socket.recv(CHUNK_BYTES)
                    if not data:
                        return
                    while data:
                        data = data[os.write(self._terminal, data) :]

    def close(self) -> None:
        os.close(self._waker)
        self._thread.join(2)
        self._socket.close()
        for descriptor in (self._terminal, self._slave, self._woken):
            os.close(descriptor)

    def __enter__(self) -> "PtyBridge":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
