# SPDX-License-Identifier: MIT
"""Anomalies by the error with which a model gives a row back: the threshold from good rows, and the vote of the last rows.
Twin of device_runtime/train/detector.c, in float64."""

import numpy as np

from ttzo.exporter.plan.anomaly import Detection


def errors(outputs: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Mean squared error of each row, float64 (n,), of outputs and network inputs (n, in_features)."""
    return ((outputs.astype(float) - inputs.astype(float)) ** 2).mean(1)


def threshold(of_good: np.ndarray, detection: Detection) -> float:
    """Of the errors (n,) of good rows, n >= 1. Percentile p: the smallest error above which at most the share 1 - p / 100 of
    the rows lie; gaussian: mean + number * deviation."""
    if detection.rule == "gaussian":
        return float(of_good.mean() + detection.number * of_good.std())
    above = int(len(of_good) * (100 - detection.number) / 100)
    return float(np.sort(of_good)[::-1][above])


def alarms(found: np.ndarray, above: float, detection: Detection) -> np.ndarray:
    """bool (n,): whether, after each row, at least `votes` of the last `of` rows have an error above the threshold."""
    votes = np.cumsum(np.concatenate([np.zeros(detection.of, int), found > above]))
    return votes[detection.of :] - votes[: -detection.of] >= detection.votes
