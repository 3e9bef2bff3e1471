# SPDX-License-Identifier: MIT
"""Known data sets of time series that the package sktime brings (BSD licence), in the published training and test rows.

motions     BasicMotions: four motions, accelerometer and gyroscope of a watch, 6 channels x 100 numbers at 10 Hz
vowels      JapaneseVowels: nine speakers, 12 coefficients of the spectrum, stretched to 6 places in time
power       ItalyPowerDemand: winter or summer, from the 24 hours of a day
"""

from dataclasses import dataclass

import numpy as np

from ttzo.host_tools.data import time_series, wheel_files
from ttzo.host_tools.data.known_rows import KnownRows, Pair

INSTALL = "pip install --no-deps sktime==1.2.0"


@dataclass(frozen=True)
class Series:
    """A data set of sktime: its file names, the SHA-256 of the training and of the test file, the int16 number that stands
    for 1, and the places in time that each case is stretched to (None: as many as it has)."""

    file: str
    sha256: tuple[str, str]
    steps_of_one: int
    labels: tuple[str, ...]
    places: int | None = None


SERIES = {
    "motions": Series(
        "BasicMotions",
        (
            "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
            "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
        ),
        512,
        ("badminton", "running", "standing", "walking"),
    ),
    "vowels": Series(
        "JapaneseVowels",
        (
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
        8192,
        tuple(f"speaker {number}" for number in range(1, 10)),
        places=6,
    ),
    "power": Series(
        "ItalyPowerDemand",
        (
            "341269cb7e6cef96846b30e774580beec79addb93848ba360145219115a74b7c",
            "26122451f87dd0387ef90b18bc8a86c041371b8a1c068004922b939971247144",
        ),
        4096,
        ("October to March", "April to September"),
    ),
}


def rows(name: str) -> KnownRows:
    """The rows of a data set of `SERIES`, int16, channel by channel. Raises `DataError`."""
    series = SERIES[name]
    train, test = (_part(series, part, sha256) for part, sha256 in zip(("TRAIN", "TEST"), series.sha256, strict=True))
    return KnownRows(train, test, labels=series.labels)


def _part(series: Series, part: str, sha256: str) -> Pair:
    path = f"datasets/data/{series.file}/{series.file}_{part}.ts"
    cases, words = time_series.parse(wheel_files.read("sktime", path, sha256, INSTALL).decode("utf-8-sig"), path)
    if series.places:
        cases = [stretched(case, series.places) for case in cases]
    x = np.rint(np.stack([case.ravel() for case in cases]) * series.steps_of_one).astype(np.int16)
    return x, np.unique(words, return_inverse=True)[1].astype(np.int64)


def stretched(case: np.ndarray, places: int) -> np.ndarray:
    """(channels, length) at `places` places in time from its first to its last, linear between its numbers."""
    at = np.linspace(0, case.shape[1] - 1, places)
    return np.stack([np.interp(at, np.arange(case.shape[1]), channel) for channel in case])
