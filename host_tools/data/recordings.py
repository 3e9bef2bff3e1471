# SPDX-License-Identifier: MIT
"""Labelled recordings that the package aeon brings (BSD licence), in windows: four fifths of the good part's time train,
its last fifth validates, the recording with anomalies tests.

heartbeats  ecg-diff-count-3: an electrocardiogram, three stretches of other beats
bleeding    135_UCR_Anomaly_InternalBleeding16: arterial pressure, one bleeding
"""

from dataclasses import dataclass

import numpy as np

from ttzo.host_tools.data import wheel_files
from ttzo.host_tools.data.known_rows import KnownRows, Pair

INSTALL = "pip install --no-deps aeon==1.6.0"
STEPS_OF_DEVIATION = 4096
VALIDATION_SHARE = 5  # one part in so many of the good part's time
TEST_HOP = 4  # rows from a test window to the next


@dataclass(frozen=True)
class Recording:
    """Files (without anomalies, with some) and their SHA-256. `window`: rows of a window; `hop`: rows from a window of the
    good part to the next; `centred`: each window without its mean; `first`: the test begins at this row, where the file of
    the second part repeats the first one."""

    files: tuple[str, str]
    sha256: tuple[str, str]
    window: int
    hop: int
    centred: bool = False
    first: int = 0


RECORDINGS = {
    "heartbeats": Recording(
        ("UnitTest/ecg-diff-count-3_TRAIN_NA.csv", "UnitTest/ecg-diff-count-3_TEST.csv"),
        (
            "cb45388a065c2f8bd3dd745ad5f93d759d92d48aa9144dcbff5f4e2ffe1b7b73",
            "39794565d99ccb4934f4955e45fc0fbe30397499ca38fd689f43a1d3e2518aec",
        ),
        window=20,  # one period: the first peak of the good part's autocorrelation
        hop=4,
    ),
    "bleeding": Recording(
        (
            "KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TRAIN.csv",
            "KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TEST.csv",
        ),
        (
            "a531b6f4f556b17c0321d144c3f6b4a7bdf5e8464b2218566181702e77962c2b",
            "fe26577b94896943e8205d04d56bf2511fe05c008df535a1ec3826adff3597e2",
        ),
        window=24,  # of periods of 184 rows
        hop=1,
        centred=True,
        first=1200,
    ),
}


def rows(name: str) -> KnownRows:
    """Windows of a recording, int16; class 1 where a row of the window is labelled anomalous. Raises `DataError`."""
    recording = RECORDINGS[name]
    (good, _), (tested, labels) = (_read(recording, part) for part in (0, 1))
    held = len(good) - len(good) // VALIDATION_SHARE
    mean, deviation = good[:held].mean(), good[:held].std()
    if recording.centred:
        deviation = _windows(recording, good[:held], recording.hop).std()
    parts = [(good[:held], np.zeros(held)), (good[held:], np.zeros(len(good) - held))]
    parts.append((tested[recording.first :], labels[recording.first :]))
    train, validation, test = (
        _rows(recording, (signal - mean) * (STEPS_OF_DEVIATION / deviation), marks, hop)
        for (signal, marks), hop in zip(parts, (recording.hop, recording.hop, TEST_HOP), strict=True)
    )
    return KnownRows(train, test, validation)


def _read(recording: Recording, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Signal and labels, float64 (n,)."""
    path = f"datasets/data/{recording.files[part]}"
    text = wheel_files.read("aeon", path, recording.sha256[part], INSTALL).decode()
    table = np.array([line.split(",")[1:3] for line in text.split()[1:]], float)
    return table[:, 0], table[:, 1]


def _rows(recording: Recording, signal: np.ndarray, marks: np.ndarray, hop: int) -> Pair:
    limits = np.iinfo(np.int16)
    x = np.clip(np.rint(_windows(recording, signal, hop)), limits.min, limits.max).astype(np.int16)
    return x, (marks[_places(recording, len(marks), hop)] > 0).any(1).astype(np.int64)


def _windows(recording: Recording, signal: np.ndarray, hop: int) -> np.ndarray:
    windows = signal[_places(recording, len(signal), hop)]
    return windows - windows.mean(1, keepdims=True) if recording.centred else windows


def _places(recording: Recording, n: int, hop: int) -> np.ndarray:
    """Rows of each window, (windows, window)."""
    return np.arange(0, n - recording.window + 1, hop)[:, None] + np.arange(recording.window)
