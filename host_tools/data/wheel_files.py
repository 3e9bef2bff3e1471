# SPDX-License-Identifier: MIT
"""Data files that other packages bring in their wheels: read from the installed folder, never by importing the package,
and held against the SHA-256 with which the figures of this repository were made."""

import hashlib
import importlib.util
from pathlib import Path

from ttzo.host_tools.data.data_error import DataError


def read(package: str, path: str, sha256: str, install: str) -> bytes:
    """The content of `path` in the installed `package`; `install` is the command that brings it.

    Raises `DataError` when the package is not installed, lacks the file, or holds another one.
    """
    place = _folder(package, install) / path
    try:
        content = place.read_bytes()
    except OSError as error:
        raise DataError(
            f"{package} is installed without {path} ({error.strerror or error})", f"install it anew: {install}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{place} has SHA-256 {found[:12]}..., expected is {sha256[:12]}...", f"install it anew: {install}"
        )
    return content


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _folder(package: str, install: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"this data set comes from the package {package}, which is not installed", install)
    return Path(next(iter(spec.submodule_search_locations)))
