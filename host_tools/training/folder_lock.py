# SPDX-License-Identifier: MIT
"""One process at a time trains in a run's folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ttzo.host_tools.training.run import SessionError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in the folder meanwhile; the system forgets it when this process is killed.
    Does nothing where folders cannot be locked (Windows, some network drives).

    Raises `SessionError` when another process trains there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(fcntl, descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(fcntl: ModuleType, descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SessionError(
            f"another process is training in {folder}", "wait until it ends, or choose another folder with --run"
        ) from error
    except OSError:
        return  # a drive that knows no locks, or none of folders
