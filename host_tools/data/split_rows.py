# SPDX-License-Identifier: MIT
"""Which rows train, validate and test. The order is shuffled by a seed, by the same function of numbers as the sample
order of a training run, so that it is the same with every version of NumPy."""

from enum import IntEnum

import numpy as np

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.reference.number.random import sample_rows


class Part(IntEnum):
    train = 0
    validation = 1
    test = 2


def split(n: int, shares: tuple[float, float], seed: int, classes: np.ndarray | None = None) -> np.ndarray:
    """int8 (n,) parts of rows; `shares` of validation and test, of all rows. Each class (int64 (n,), None: no classes) is
    divided in these proportions: with two rows one is for the test, with three one for validation too, where these
    parts are wanted."""
    order = sample_rows(seed, np.arange(n), n) if n else np.empty(0, np.int64)
    parts = np.full(n, Part.train, np.int8)
    kinds = np.zeros(n, np.int64) if classes is None else classes
    for kind in np.unique(kinds):
        rows = order[kinds[order] == kind]
        n_test = _count(len(rows), shares[1], spare=1)
        n_validation = _count(len(rows) - n_test, shares[0] * len(rows) / max(1, len(rows) - n_test), spare=1)
        parts[rows[:n_test]] = Part.test
        parts[rows[n_test : n_test + n_validation]] = Part.validation
    return parts


def _count(n: int, share: float, spare: int) -> int:
    """The share of n rows, at least one where any is wanted, but `spare` rows are left."""
    return min(max(0, n - spare), max(1, round(share * n))) if share > 0 else 0


def split_groups(
    groups: np.ndarray, shares: tuple[float, float], seed: int, classes: np.ndarray | None = None, what: str = "group"
) -> np.ndarray:
    """int8 (n,) parts of rows, whole groups (n,) at a time, each part as near to its share of every class as the groups
    allow. Raises `DataError` when there are fewer groups than parts that are wanted."""
    names, group_of = np.unique(groups.astype(str), return_inverse=True)
    wanted = [Part.train] + [
        part for part, share in zip((Part.validation, Part.test), shares, strict=True) if share > 0
    ]
    if len(names) < len(wanted):
        parts = ", ".join(part.name for part in wanted)
        raise DataError(
            f"{len(names)} different values of {what} ({', '.join(names[:4])}) are too few for {parts}",
            "leave validation out (--validation 0), give parts files of their own, or record more",
        )
    kinds = np.zeros(len(groups), np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    counts = np.zeros((len(names), kinds.max(initial=0) + 1))  # rows of each group and class
    np.add.at(counts, (group_of, kinds), 1)
    share_of = {Part.train: 1 - sum(shares), Part.validation: shares[0], Part.test: shares[1]}
    goal = {part: share_of[part] * counts.sum(0) for part in wanted}
    return _assigned(counts, goal, seed)[group_of]


def _assigned(counts: np.ndarray, goal: dict[Part, np.ndarray], seed: int) -> np.ndarray:
    """The part of each group: the largest group first, each to the part that it brings nearest to its goal; a part that
    is still empty goes first once there are no more groups than empty parts."""
    n = len(counts)
    shuffled = sample_rows(seed, np.arange(n), n)
    order = shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]
    scale = np.maximum(1, sum(goal.values()))  # classes weigh the same, however many rows they have
    held = {part: np.zeros(counts.shape[1]) for part in goal}
    made, empty = np.zeros(n, np.int8), set(goal)
    for position, group in enumerate(order):
        open_parts = empty if n - position <= len(empty) else set(goal)

        def gain(part: Part, group: int = int(group)) -> float:
            before, after = (held[part] - goal[part]) / scale, (held[part] + counts[group] - goal[part]) / scale
            return float((before**2).sum() - (after**2).sum())

        best = max(sorted(open_parts), key=gain)
        made[group] = best
        held[best] = held[best] + counts[group]
        empty.discard(best)
    return made


def split_in_time(segments: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """int8 (n,) parts of the rows of continuous recordings: of each segment (int64 (n,), equal numbers side by side) the
    first rows train, then come those of validation, the last ones test."""
    parts = np.full(len(segments), Part.train, np.int8)
    bounds = np.flatnonzero(np.diff(segments, prepend=segments[:1] - 1, append=segments[-1:] + 1))
    for first, end in zip(bounds, bounds[1:], strict=False):
        n = end - first
        n_test, n_validation = (int(share * n) for share in shares[::-1])
        parts[end - n_test : end] = Part.test
        parts[end - n_test - n_validation : end - n_test] = Part.validation
    return parts
