# SPDX-License-Identifier: MIT
"""The data set `watch`: seven exercises of the shoulder by ten persons, from a smartwatch's accelerometer and gyroscope.

The package seglearn (BSD licence) brings the 140 recordings, at 50 Hz. Here they are windows of 2 s at 25 Hz, half
overlapping: six channels (acceleration in g; turn rate in rad/s, divided by 3) of 50 numbers each.

    watch            person 10 is left out: `watch:without-10`
    watch:without-4  trains on all persons except 4. The last tenth of each recording validates. Test rows are person 4's
    watch:4          person 4 alone: the first 40 % of each recording train, the last half tests

The test rows of the last two are the same. No window lies in two parts, not even partly.
"""

import io
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platformdirs import user_cache_path

from ttzo.host_tools.data import wheel_files
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.known_rows import KnownRows
from ttzo.host_tools.data.whole_file import write_atomically

NAME, INSTALL = "watch", "pip install 'ttzo[sensors]'"
FILE, SHA256 = "data/watch_dataset.npy", "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
EXERCISES = ("pendulum", "abduction", "forward elevation", "internal rotation", "external rotation", "trapezius extension", "upright row")  # fmt: skip
PERSONS = range(1, 11)
LEFT_OUT = 10  # when nobody is named
WINDOW = 50  # rows of a window, at 25 Hz
HOP = WINDOW // 2
STEPS_OF_ONE = 2048  # int16 numbers for 1 g
CHANNEL_SCALE = np.array([1, 1, 1, 1 / 3, 1 / 3, 1 / 3])
ADAPTS, TESTS, VALIDATES = 0.4, 0.5, 0.9  # shares of a recording's windows: adapt before, test from, validate from


class Recordings(NamedTuple):
    """x (rows of all recordings, 6) float32; for each recording: its number of rows, exercise, person."""

    x: np.ndarray
    rows: np.ndarray
    exercise: np.ndarray
    person: np.ndarray


def rows(source: str) -> KnownRows:
    """The rows of `source`, one of the names above. Raises `DataError`."""
    person, is_left_out = _wanted(source)
    found = recordings()
    parts: dict[str, list[tuple[np.ndarray, int]]] = {"train": [], "validation": [], "test": []}
    for x, exercise, who in zip(
        np.split(found.x, np.cumsum(found.rows)[:-1]), found.exercise, found.person, strict=True
    ):
        own = windows(x)
        n = len(own)
        if who == person:
            parts["test"].append((own[int(TESTS * n) :], exercise))
            if not is_left_out:
                parts["train"].append((own[: int(ADAPTS * n)], exercise))
        elif is_left_out:
            first = int(VALIDATES * n)
            parts["train"].append((own[: first - 1], exercise))  # the window between overlaps both
            parts["validation"].append((own[first:], exercise))
    train, test = _joined(parts["train"]), _joined(parts["test"])
    validation = _joined(parts["validation"]) if parts["validation"] else None
    return KnownRows(train, test, validation, EXERCISES)


def _wanted(source: str) -> tuple[int, bool]:
    """The person, and whether to train on all others."""
    _, _, which = source.partition(":")
    is_left_out = not which or which.startswith("without-")
    word = which.removeprefix("without-") or str(LEFT_OUT)
    if word not in map(str, PERSONS):
        raise DataError(
            f"there is no data set `{source}`", f"the persons are 1 to {PERSONS[-1]}: {NAME}:without-4, {NAME}:4"
        )
    return int(word), is_left_out


def windows(x: np.ndarray) -> np.ndarray:
    """int16 (windows, 6 * WINDOW), channel by channel, of a recording (rows, 6) at 50 Hz."""
    halved = x[: len(x) // 2 * 2].reshape(-1, 2, 6).mean(1) * CHANNEL_SCALE
    numbers = np.rint(halved * STEPS_OF_ONE).astype(np.int16)
    first = range(0, len(numbers) - WINDOW + 1, HOP)
    return np.stack([numbers[i : i + WINDOW].T.ravel() for i in first])


def _joined(pieces: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    y = [np.full(len(windows), exercise, np.int64) for windows, exercise in pieces]
    return np.concatenate([windows for windows, _ in pieces]), np.concatenate(y)


# ---- the wheel's file ------------------------------------------------------------------------------------------------


def recordings(cache: Path | None = None) -> Recordings:
    """All recordings: from the user's cache, or from seglearn's file, which is then kept there as npz."""
    path = cache or user_cache_path("ttzo") / "watch.npz"
    try:
        with np.load(path) as kept:
            if str(kept["sha256"]) == SHA256:
                return Recordings(*(kept[name] for name in Recordings._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        pass  # not there, or damaged: it is written anew
    made = _of_pickle(wheel_files.read("seglearn", FILE, SHA256, INSTALL))
    file = io.BytesIO()
    np.savez_compressed(file, sha256=SHA256, **made._asdict())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file.getvalue())
    return made


def _of_pickle(content: bytes) -> Recordings:
    """seglearn's file: an array that holds one object, a pickled dictionary."""
    file = io.BytesIO(content)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    page = _Unpickler(file).load().item()
    x = page["X"]
    return Recordings(
        np.concatenate(x).astype(np.float32),
        np.array([len(each) for each in x]),
        np.asarray(page["y"], np.int64),
        np.asarray(page["subject"], np.int64),
    )


class _Unpickler(pickle.Unpickler):
    """Makes arrays, and calls nothing else that a pickle names."""

    KNOWN = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode("latin1")
        if (module, name) not in self.KNOWN:
            raise DataError(f"the pickle of `{NAME}` asks for {module}.{name}", f"install it anew: {INSTALL}")
        return self.KNOWN[module, name]
