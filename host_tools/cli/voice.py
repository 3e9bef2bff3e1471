# SPDX-License-Identifier: MIT
"""Standard output and error whose reader may go away: `ttzo boards | head -1`, a terminal that was closed."""

import errno
import os
from contextlib import suppress
from typing import IO, Any

GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)  # what a pipe without a reader says, and a terminal that was closed


class Voice:
    """A stream that goes on into nothing once it was refused. A reader who has gone is no error: the work goes on. Any
    other refusal (a full disk) is raised, once."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError):
            os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if error.errno not in GONE:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
