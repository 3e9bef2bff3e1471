# SPDX-License-Identifier: MIT
"""MNIST as its four IDX files: read from a folder, or downloaded into the user's cache and held against the published
SHA-256 checksums.

Nothing in a file is believed: magic number, dimensions and length are checked before a row is used.
"""

import gzip
import hashlib
import struct
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.whole_file import write_atomically

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}  # of the .gz files as published
DOWNLOAD_LIMIT_BYTES = 64 << 20
TIMEOUT_S = 30
AGAIN = "fetch the file again, or take it out of the folder"


# ---- IDX files -------------------------------------------------------------------------------------------------------


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of an IDX file, plain or gzip. Raises `DataError` when it is damaged or another kind of file."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return _read_idx(file, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file ({error})", AGAIN) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error})", "check the file's name and permissions"
        ) from error


def _read_idx(file, path: Path, dimensions: int) -> np.ndarray:
    """Header: two zero bytes, type 8 (uint8), number of dimensions, then each dimension as a big-endian u32."""
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} ends after {len(header)} bytes, inside its header", AGAIN)
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != 0x0800 + dimensions:
        raise DataError(f"{path} is not an IDX file of {dimensions}-dimensional bytes (magic 0x{magic:08x})", AGAIN)
    size = int(np.prod(shape, dtype=object))
    if not 0 < size < 1 << 32:
        raise DataError(f"{path} states the shape {shape}", AGAIN)
    content = file.read(size + 1)
    if len(content) != size:
        amount = f"{len(content)} bytes" if len(content) < size else "more bytes"
        raise DataError(f"{path} holds {amount}, but its header states {size}", AGAIN)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for spelling in (name, name.replace("-idx", ".idx")):
        for path in (folder / spelling, folder / f"{spelling}.gz"):
            if path.is_file():
                return path
    raise DataError(f"{folder} holds no {name} or {name}.gz", f"MNIST consists of {', '.join(SHA256)}")


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x_train (n, pixels), y_train (n,), x_test, y_test as uint8 from the four files of `folder`."""
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(_find(folder, f"{part}-images-idx3-ubyte"), 3)
        labels = read_idx(_find(folder, f"{part}-labels-idx1-ubyte"), 1)
        if len(images) != len(labels):
            raise DataError(
                f"{folder}: {len(images)} {part} images, but {len(labels)} labels",
                "the files come from different data sets",
            )
        parts += [images.reshape(len(images), -1), labels]
    x_train, y_train, x_test, y_test = parts
    return x_train, y_train, x_test, y_test


# ---- download --------------------------------------------------------------------------------------------------------


def _fetch(url: str, target: Path, sha256: str) -> None:
    """Downloads into `target`, which appears whole, and only when the checksum is right."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        content = answer.read(DOWNLOAD_LIMIT_BYTES + 1)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{url} has SHA-256 {found[:12]}..., but {sha256[:12]}... is published")
    write_atomically(target, content)


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def download(cache: Path | None = None, mirrors: tuple[str, ...] = MIRRORS, checksums: dict[str, str] = SHA256) -> Path:
    """A folder with the four published files; what is not in the cache yet, or damaged there, is downloaded."""
    folder = cache or user_cache_path("ttzo") / "mnist"
    for name, sha256 in checksums.items():
        target, reasons = folder / f"{name}.gz", []
        for mirror in mirrors:
            if _is_whole(target, sha256):
                break
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _fetch(f"{mirror}/{target.name}", target, sha256)
            except (OSError, HTTPException, DataError) as error:
                reasons.append(str(getattr(error, "reason", error)))
        if not _is_whole(target, sha256):
            hint = "fetch the four files by another way and name their folder: --data DIR"
            raise DataError(f"{target.name} could not be downloaded ({'; '.join(reasons)})", hint)
    return folder
