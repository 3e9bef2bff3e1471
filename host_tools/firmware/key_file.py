# SPDX-License-Identifier: MIT
"""Pre-shared keys: 32 random bytes in a file that only its owner may read.

A key is never printed where it could get into a log: what names it is its fingerprint.
"""

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ttzo.device_runtime.contract import LIMIT, ExitCode, TtzoError

BYTES = LIMIT["key_bytes"]
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(TtzoError):
    """A key's file that is missing, open to others, or none."""

    exit_code = ExitCode.key


@dataclass(frozen=True)
class Lock:
    """What a device is given: the key without which nobody gives it orders; whether anybody may read it."""

    secret: bytes = field(repr=False)  # [32]
    reading_open: bool = False


def make(path: Path) -> bytes:
    """Writes a new key there, with mode 0600, and gives it. Raises `KeyFileError` when there is a file already."""
    secret = secrets.token_bytes(BYTES)
    write(path, secret)
    return secret


def write(path: Path, secret: bytes) -> None:
    """Writes a key there, with mode 0600. Raises `KeyFileError` when there is a file already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileError(
            f"there is a file {path} already", "keys are not written over: name another file, or remove it"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written ({error.strerror})", "name another file") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)


def read(path: Path) -> bytes:
    """The key in a file. Raises `KeyFileError` when there is none, or others than its owner may use it."""
    try:
        with path.open("rb") as file:
            mode, secret = os.fstat(file.fileno()).st_mode, file.read(BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            f"there is no key {path} ({error.strerror})", "make one with `ttzo key make FILE`, or name its file"
        ) from error
    if os.name == "posix" and mode & OTHERS:
        raise KeyFileError(f"others may use the key {path} (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {path}")
    if len(secret) != BYTES:
        raise KeyFileError(f"{path} is not a key: it does not have {BYTES} bytes", "make one with `ttzo key make FILE`")
    return secret


def fingerprint(secret: bytes) -> str:
    """What names a key and tells nothing of it."""
    return hashlib.sha256(b"ttzo key\0" + secret).hexdigest()[:16]
