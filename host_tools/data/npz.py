# SPDX-License-Identifier: MIT
"""Reads .npz files that may be damaged, made to harm, or none at all."""

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

MOST_BYTES = 1 << 30  # of all arrays together, once unpacked
MOST_ARRAYS = 64
MOST_AXES = 8


def read(path: Path, names: Collection[str] | None = None, most_bytes: int = MOST_BYTES) -> dict[str, np.ndarray]:
    """The file's arrays; of `names`, those that are there. Raises `ValueError` with the reason when it is unreadable or
    would unpack to more than `most_bytes`: sizes are looked at before anything is unpacked.

    Whatever numpy and zipfile raise counts as that: a flipped bit brings forth a dozen kinds of exceptions, from
    BadZipFile to TokenError and RuntimeError ("encrypted").
    """
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, at most {most_bytes:,} are read")
        with path.open("rb") as content, zipfile.ZipFile(content) as archive:
            return _arrays(archive, names, most_bytes)
    except MemoryError as error:
        raise ValueError("it does not fit into memory") from error
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _arrays(archive: zipfile.ZipFile, names: Collection[str] | None, most_bytes: int) -> dict[str, np.ndarray]:
    found = archive.infolist()
    wanted = {each.filename.removesuffix(".npy"): each for each in found if each.filename.endswith(".npy")}
    if len(found) > MOST_ARRAYS or len(wanted) != len(found):
        raise ValueError(f"it is no archive of up to {MOST_ARRAYS} arrays")
    chosen = {name: each for name, each in wanted.items() if names is None or name in names}
    total = sum(each.file_size for each in chosen.values())
    if total > most_bytes:
        raise ValueError(f"it unpacks to {total:,} bytes, at most {most_bytes:,} are read")
    made = {}
    for name, each in chosen.items():
        with archive.open(each) as file:
            made[name] = _array(file, each.file_size)
    return made


def shape_of(path: Path, name: str) -> tuple[int, ...] | None:
    """The shape of one array, by its header alone; None where the file or the array is not there or damaged: `read` says
    why."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            return _header(file)[0]
    except Exception:
        return None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first axis runs fastest, and type of an .npy file."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"an array of version {version} is not read")
    return readers[version](file)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an .npy file of `size` bytes, once its header fits that size."""
    shape, is_fortran, dtype = _header(file)
    if dtype.hasobject or dtype.names or dtype.itemsize == 0 or len(shape) > MOST_AXES:
        raise ValueError(f"an array of {dtype} with {len(shape)} axes is not read")
    n_bytes = math.prod(shape) * dtype.itemsize
    if min((0, *shape)) < 0 or n_bytes != size - file.tell():
        raise ValueError(f"an array announces {n_bytes:,} bytes and has {size - file.tell():,}")
    content = file.read(n_bytes)
    if len(content) != n_bytes or file.read(1):
        raise ValueError("an array is cut short")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C").copy()
