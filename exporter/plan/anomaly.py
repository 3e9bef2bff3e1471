# SPDX-License-Identifier: MIT
"""The task `anomaly`: a network that gives its inputs back learns good rows alone, and a row that it gives back badly is
anomalous. How large an error counts, and how many of the last rows must have one, is kept in a plan's metadata."""

import re
from dataclasses import dataclass
from typing import Any

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.operations.layer import PlanError

TASKS = ("anomaly",)
RULES = ("percentile", "gaussian")
MOST_VOTES = 32  # rows that a detector looks back


@dataclass(frozen=True)
class Detection:
    """rule `percentile`: the threshold is that percentile of the errors of good validation rows; `gaussian`: their mean and
    so many deviations. An alarm needs `votes` of the last `of` rows above the threshold."""

    rule: str = "percentile"
    number: float = 99.0
    votes: int = 1
    of: int = 1

    @property
    def threshold_text(self) -> str:
        return f"{self.rule}:{self.number:g}"

    def as_json(self) -> dict[str, str]:
        return {"threshold": self.threshold_text, "votes": f"{self.votes}/{self.of}"}


def detection_of(threshold: Any, votes: Any) -> Detection:
    """Of the options `threshold` ("percentile:99", "gaussian:4") and `votes` ("2/3"); None: the default. Raises `PlanError`."""
    rule, _, number = str(threshold or Detection().threshold_text).partition(":")
    counts = re.fullmatch(r"(\d+)/(\d+)", str(votes or "1/1"))
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if rule not in RULES or not 0 < value < (100 if rule == "percentile" else 1e6):
        raise PlanError(f"option threshold is {threshold!r}", "give percentile:99 or gaussian:4")
    if counts is None or not 1 <= int(counts[1]) <= int(counts[2]) <= MOST_VOTES:
        raise PlanError(f"option votes is {votes!r}", f"give 2/3: two of the last three rows, at most {MOST_VOTES}")
    return Detection(rule, value, int(counts[1]), int(counts[2]))


def why_not(loss: Loss, in_features: int, out_features: int) -> str:
    """Why a model cannot find anomalies, "" where it can."""
    if loss not in (Loss.mse, Loss.huber):
        return f"a model that finds anomalies gives its inputs back: its loss is mse or huber, not {loss.name}"
    if in_features != out_features:
        return f"a model that finds anomalies gives its inputs back, but it has {in_features} inputs and {out_features} outputs"
    return ""
