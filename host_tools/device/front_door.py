# SPDX-License-Identifier: MIT
"""The one way to an emulated device that stays open: one client at a time, and the next one hears who that is.

    with opened("unix:/tmp/x/device", port=5555) as door:
        print(door.url)

A connection on which neither side has sent anything for IDLE_S seconds is closed, so that nobody is locked out by a program
that was forgotten. A host of ttzo opens it again with its next request.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from ttzo.device_runtime.contract import MESSAGE, REPLY, DeviceError
from ttzo.host_tools.device import unix_socket
from ttzo.host_tools.device.frames import Frame, encode

IDLE_S = 30.0
FAREWELL_S = 5.0  # that a client who is sent away has for asking, and for hearing why
CHUNK_BYTES = 4096


def in_use(holder: int) -> bytes:
    """What a second client hears; `holder` is the first one's process, 0 where the system does not tell."""
    return encode(Frame(0, MESSAGE["error"], REPLY["error"](DeviceError("in_use").code, holder).pack()))


def opened(inner: str, port: int | None = None, path: Path | None = None) -> "FrontDoor":
    """The door before the socket `inner`: a TCP port of the loopback interface (0: any), or a Unix socket. Raises
    `SocketError`."""
    owned = ExitStack()
    if port is None and unix_socket.is_there():
        path = path or unix_socket.private_path(owned)
        listener, url = unix_socket.listen(path), f"{unix_socket.SCHEME}{path}"
        owned.callback(path.unlink, missing_ok=True)
    else:
        try:
            listener = socket.create_server(("127.0.0.1", port or 0))
        except OSError as error:
            raise unix_socket.SocketError(
                f"port {port} cannot be opened: {error.strerror}", "name another port, or 0 for any free one"
            ) from error
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    return FrontDoor(inner, listener, url, owned)


class FrontDoor:
    """An open door, at `url`, until `close()`; its work is done by a thread."""

    def __init__(self, inner: str, listener: socket.socket, url: str, owned: ExitStack):
        self.url, self._inner, self._listener, self._owned = url, inner, listener, owned
        self._client: socket.socket | None = None
        self._device: socket.socket | None = None  # what the client talks to
        self._heard_at = 0.0
        self._sent_away: dict[socket.socket, float] = {}  # with the time at which they are hung up on
        self._woken, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="ttzo front door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._waker.close()
        self._thread.join()
        self._owned.close()

    def __enter__(self) -> "FrontDoor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        with self._listener, self._woken:
            while self._serve():
                pass
            self._hang_up()
            for client in self._sent_away:
                client.close()

    def _serve(self) -> bool:
        """Waits for something to happen and does it; False when the door closes."""
        talking = [end for end in (self._client, self._device) if end]
        watched = [self._listener, self._woken, *talking, *self._sent_away]
        ready = select.select(watched, [], [], self._patience())[0]
        if self._woken in ready:
            return False
        for client in [client for client in self._sent_away if client in ready]:
            self._send_away(client)
        for client in [client for client, until in self._sent_away.items() if time.monotonic() > until]:
            del self._sent_away[client]
            client.close()
        if any(end in ready for end in talking):
            self._heard_at = time.monotonic()
        elif time.monotonic() - self._heard_at > IDLE_S:
            self._hang_up()
        for source, sink in ((self._client, self._device), (self._device, self._client)):
            if source in ready and source and sink and not _carried(source, sink):
                self._hang_up()
                break
        if self._listener in ready:
            self._let_in(self._listener.accept()[0])
        return True

    def _patience(self) -> float | None:
        """How long nothing needs to be done unless something arrives, in seconds; None for ever."""
        idle_s = self._heard_at + IDLE_S - time.monotonic()
        ends = [max(idle_s, 0.0) + 0.001] if self._client else []
        return min([*ends, *([FAREWELL_S] if self._sent_away else [])], default=None)

    def _let_in(self, client: socket.socket) -> None:
        if self._client:
            self._sent_away[client] = time.monotonic() + FAREWELL_S
            return
        try:
            self._device = unix_socket.connect(self._inner)
        except OSError:  # the device has ended
            client.close()
            return
        if client.family == socket.AF_INET:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client, self._heard_at = client, time.monotonic()

    def _send_away(self, client: socket.socket) -> None:
        """Answers whatever he says; he is hung up on when he has gone, or has had his time."""
        holder = _process_of(self._client) if self._client else 0
        if not _received(client):
            self._sent_away[client] = 0.0
            return
        with contextlib.suppress(OSError):
            client.sendall(in_use(holder))

    def _hang_up(self) -> None:
        for end in (self._client, self._device):
            if end:
                end.close()
        self._client = self._device = None


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(CHUNK_BYTES)
    except OSError:
        return b""


def _carried(source: socket.socket, sink: socket.socket) -> bool:
    """Carries what has arrived; False when one of both has hung up."""
    data = _received(source)
    try:
        sink.sendall(data)
    except OSError:
        return False
    return bool(data)


def _process_of(client: socket.socket) -> int:
    """The process at the other end of a Unix socket; 0 where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or client.family != socket.AF_UNIX:
        return 0
    process, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return process
