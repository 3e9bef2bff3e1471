# SPDX-License-Identifier: MIT
"""Writes files whole or not at all, and says what a disk that refuses wants."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from ttzo.device_runtime.contract import ExitCode, TtzoError

DEAD_AFTER_S = 3600.0  # no write takes that long: whoever left such a file was killed

_ROOM = "free some space on the disk, then run the same command again"
_ELSEWHERE = "give yourself the right to write there, or take a folder in which you may"
HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EIO: "the disk itself reports a failure: look at it, or take another one",
}
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class DiskError(TtzoError):
    """A file that the disk does not take."""

    exit_code = ExitCode.disk

    def __init__(self, path: Path, error: OSError):
        reason = error.strerror or str(error)
        super().__init__(f"{path} cannot be written ({reason})", HINTS.get(error.errno or 0, "look at the disk"))


def write_atomically(path: Path, content: bytes) -> None:
    """Puts `content` at `path` in one move: whoever reads it, or pulls the plug, finds the old file or the new one.
    Raises `DiskError`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(path, error) from error
    remove_leftovers(path, DEAD_AFTER_S)


def remove_leftovers(path: Path, older_than_s: float = 0.0) -> None:
    """Removes what processes that were killed in `write_atomically(path)` have left beside it."""
    for found in path.parent.glob(f".{path.name}.*"):
        with suppress(OSError, ValueError):
            int(found.name.rpartition(".")[2])  # a process number: the file is one of these
            if time.time() - found.stat().st_mtime >= older_than_s:
                found.unlink()
