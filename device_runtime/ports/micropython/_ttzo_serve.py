# SPDX-License-Identifier: MIT
# Model.serve of _ttzo_model.py: the link on a stream. Imported where a link is served; other boards do not hold it.
import os
import select
import struct
import sys

import _ttzo
import micropython
from _ttzo_model import _check, _once, load
from micropython import const

_INBOX_BYTES = const(64)  # the link's memory begins with its boxes
_OUTBOX_BYTES = const(256)
_LEFT_AT = const(32)
_NAME_BYTES = const(24)  # contract: limit.board_name_bytes
_KEY_BYTES = const(32)  # contract: limit.key_bytes
_LINK = const(512)  # contract: enum.part.link


class _Port:
    """The link's bytes, between streams and its boxes."""

    def __init__(self, line, source, sink):
        self._source, self._sink = source, sink
        self._inbox = memoryview(line)[:_INBOX_BYTES]
        self._outbox = memoryview(line)[_INBOX_BYTES : _INBOX_BYTES + _OUTBOX_BYTES]
        self._one = bytearray(1)
        self._closed = False
        self._poll = select.poll()
        self._poll.register(source, select.POLLIN)

    def wait(self):
        """Sleeps until there is something to read. False when nothing will ever come."""
        self._poll.poll()
        return not self._closed

    def receive(self, most):
        """Up to `most` bytes that have arrived, into the inbox. One at a time: some streams wait for all they are asked."""
        arrived = self._poll.ipoll  # type: ignore[attr-defined]  # MicroPython's own
        read, one, inbox, count = self._source.readinto, self._one, self._inbox, 0
        while count < most:
            for _ in arrived(0):
                break
            else:
                break
            got = read(one)
            if not got:
                self._closed = got == 0
                break
            inbox[count] = one[0]
            count += 1
        return count

    def send(self, count):
        part = self._outbox[:count]
        while part:
            part = part[self._sink.write(part) or 0 :]
        return 0


def _board_name():
    machine = getattr(sys.implementation, "_machine", sys.platform)
    return ("mpy " + machine)[:_NAME_BYTES].encode()


def _secrets(key):
    """The key and as many random bytes."""
    if isinstance(key, str):
        with open(key, "rb") as file:
            key = file.read()
    if len(key) != _KEY_BYTES:
        raise ValueError("a key has %d bytes: `ttzo key make FILE` writes one" % _KEY_BYTES)
    return bytes(key) + os.urandom(_KEY_BYTES)


def serve_any(stream, model, key, reading_open):
    """See serve of _ttzo_model."""
    if model is None:
        names = [name for name in os.listdir() if name.endswith(".ttzo")]
        if len(names) != 1:
            raise ValueError("say which model to serve: there are %d .ttzo files here" % len(names))
        model = names[0]
    serve(load(model) if isinstance(model, str) else model, stream, key, reading_open)


def serve(model, stream, key, reading_open):
    """See Model.serve."""
    memory, files = model._memory, _once("_ttzo_load")
    if not _ttzo.parts() & _LINK:
        raise ImportError("_ttzo was built without the link")
    if model._learner:
        model._learner.leave(model)
    line = bytearray(_ttzo.line_bytes())
    if model._bundle is None:  # for the host's resets
        bundle = files.lend(model, bytearray(model._total))  # noqa: F841 - it stays in use
    secrets = None if key is None else _secrets(key)
    _check(memory, _ttzo.listen(memory, line, _board_name()))
    if stream is None:
        micropython.kbd_intr(-1)
        port = _Port(line, sys.stdin.buffer, sys.stdout.buffer)
    else:
        port = _Port(line, stream, stream)
    try:
        if secrets:
            _check(memory, _ttzo.lock(memory, secrets, int(reading_open)))
        while not struct.unpack_from("<I", memory, _LEFT_AT)[0] and port.wait():
            _check(memory, _ttzo.poll(memory, port.receive, port.send))
    finally:
        _ttzo.hang_up(memory)
        files.keep(model)
        if stream is None:
            micropython.kbd_intr(3)
