# SPDX-License-Identifier: MIT
"""Unix sockets that only their user may open: `unix:PATH`. Emulated devices are reached by them (Linux, macOS)."""

import array
import contextlib
import select
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ttzo.device_runtime.contract import ExitCode, TtzoError

SCHEME = "unix:"
WRITE_S = 10.0


class SocketError(TtzoError):
    """A socket that cannot be opened."""

    exit_code = ExitCode.device


def is_there() -> bool:
    """Whether this system has Unix sockets for Python."""
    return hasattr(socket, "AF_UNIX")


def private_path(owned: ExitStack) -> Path:
    """A place for a socket in a folder of the user's own, both removed by `owned`."""
    return Path(owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-"))) / "device"


def listen(path: Path) -> socket.socket:
    """A socket that listens there, with mode 0600; nobody can connect before it has that mode. Raises `SocketError`."""
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(str(path))
        path.chmod(0o600)
        made.listen(4)
    except OSError as error:
        made.close()
        hint = "name a shorter path" if "too long" in str(error) else "name another path, or remove what is there"
        raise SocketError(f"no socket can be opened at {path}: {error}", hint) from error
    return made


def connect(url: str) -> socket.socket:
    """A connection to `unix:PATH` or `socket://HOST:PORT`. Raises OSError."""
    if not url.startswith(SCHEME):
        host, _, port = url.removeprefix("socket://").rpartition(":")
        return socket.create_connection((host, int(port)))
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(url.removeprefix(SCHEME))
    except OSError:
        made.close()
        raise
    return made


class UnixStream:
    """A connection to `unix:PATH` as the link wants it: what `ports.Stream` says. Raises OSError."""

    def __init__(self, url: str):
        self.port: str | None = url
        self.timeout: float | None = None
        self._socket = connect(url)
        self._socket.settimeout(WRITE_S)

    @property
    def in_waiting(self) -> int:
        import fcntl  # not on every system
        import termios

        count = array.array("i", [0])
        fcntl.ioctl(self._socket, termios.FIONREAD, count)
        return count[0]

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes; waits for the first one as long as `timeout` says."""
        if not select.select([self._socket], [], [], self.timeout)[0]:
            return b""
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("the other side has closed it")
        return data

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
