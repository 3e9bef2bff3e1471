# SPDX-License-Identifier: MIT
"""Twin of loss.c: losses row by row, and how they change. Arrays are float32, or float64 throughout."""

import numpy as np

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.number import real


def sum_in_order(values: np.ndarray) -> np.float32:
    """0 + v_0 + v_1 + ...: one float32 chain in ascending order."""
    return np.add.accumulate(np.concatenate([np.zeros(1, np.float32), values]), dtype=np.float32)[-1]


def mean(losses: np.ndarray) -> np.float32:
    return sum_in_order(losses) * (np.float32(1) / np.float32(len(losses)))


# ---- losses ---------------------------------------------------------------------------------------------------------


def row_losses(plan: Plan, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Each row's loss [n]: outputs [n, out_features], targets int64 [n], of sequences [n, places], or [n, out_features]."""
    if plan.loss == Loss.huber:
        return huber(outputs, targets, plan.loss_options.huber_delta)
    if not plan.has_classes:
        return mean_squared_error(outputs, targets)
    classes = _place_classes(targets)
    each = [cross_entropy(scores, column) for scores, column in zip(_scores(plan, outputs), classes, strict=True)]
    return _mean_of_places(plan, each, classes)


def cross_entropy(outputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Softmax cross-entropy of each row: outputs [n, k], classes int64 [n] -> [n]; of NO_CLASS any number."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    sums = np.zeros(len(outputs), outputs.dtype)
    for column in real.exp(shifted).T:
        sums = sums + column
    return real.log(sums) - shifted[np.arange(len(outputs)), np.where(classes == NO_CLASS, 0, classes)]


def mean_squared_error(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean squared error of each row: outputs and targets [n, k] -> [n]."""
    sums = np.zeros(len(outputs), outputs.dtype)
    for difference in (outputs - targets).T:
        sums = difference * difference + sums
    return sums * _share(sums, outputs.shape[1])


def huber(outputs: np.ndarray, targets: np.ndarray, delta: float) -> np.ndarray:
    sums, half = np.zeros(len(outputs), outputs.dtype), outputs.dtype.type(-0.5)
    for error in (outputs - targets).T:
        c = _clipped(error, delta)
        sums = c * (c * half + error) + sums
    return sums * _share(sums, outputs.shape[1])


def _clipped(error: np.ndarray, delta: float) -> np.ndarray:
    limit = error.dtype.type(np.float32(delta))
    return np.where(error > limit, limit, np.where(error < -limit, -limit, error))


def _share(like: np.ndarray, n: int) -> np.floating:
    return like.dtype.type(1) / like.dtype.type(n)


# ---- classes at places ----------------------------------------------------------------------------------------------


def _scores(plan: Plan, outputs: np.ndarray) -> list[np.ndarray]:
    """The scores [n, classes] at each place."""
    if plan.loss == Loss.binary_cross_entropy:
        return [np.concatenate([np.zeros_like(outputs), outputs], axis=1)]
    return np.split(outputs, plan.n_places, axis=1)


def _place_classes(targets: np.ndarray) -> np.ndarray:
    """int64 [places, n]"""
    return targets.reshape(len(targets), -1).T


def _mean_of_places(plan: Plan, each: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
    """From a number of each place [..., n] the weighted mean over the places that count [..., n]."""
    kind = each[0].dtype.type
    weights = np.array(plan.loss_options.class_weights or [1.0] * plan.n_classes, np.float32).astype(kind)
    total, counts = np.zeros_like(each[0]), (classes != NO_CLASS).sum(axis=0)
    for values, column in zip(each, classes, strict=True):
        counts_here = column != NO_CLASS
        total = np.where(counts_here, total + weights[np.where(counts_here, column, 0)] * values, total)
    return total * (kind(1) / np.maximum(counts, 1).astype(kind))


def hits(plan: Plan, outputs: np.ndarray, targets: np.ndarray) -> int:
    """Rows (of sequences: places) whose largest score, the first of equals, is that of their class."""
    pairs = zip(_scores(plan, outputs), _place_classes(targets), strict=True)
    return sum(int((scores.argmax(axis=1) == classes).sum()) for scores, classes in pairs)


# ---- changes --------------------------------------------------------------------------------------------------------


def loss_slopes(plan: Plan, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[n, out_features]: the softmax of the outputs at each place (of one logit, the probability of the wrong class); twice
    the errors; of Huber, the errors."""
    if plan.loss == Loss.huber:
        return outputs - targets
    if not plan.has_classes:
        return 2 * (outputs - targets)
    shares = []
    for scores in _scores(plan, outputs):
        grown = real.exp(scores - scores.max(axis=1, keepdims=True))
        shares.append(grown / np.add.accumulate(grown, axis=1)[:, -1:])
    if plan.loss == Loss.binary_cross_entropy:
        return np.take_along_axis(shares[0], 1 - targets[:, None], axis=1)
    return np.concatenate(shares, axis=1)


def loss_change(plan: Plan, slopes: np.ndarray, changes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Loss of changed outputs less that of the outputs: changes [queries, out, n] -> [queries, n]."""
    if plan.loss == Loss.huber:
        return _huber_change(slopes, changes, plan.loss_options.huber_delta)
    if not plan.has_classes:
        return _squared_change(slopes, changes)
    classes = _place_classes(targets)
    if plan.loss == Loss.binary_cross_entropy:
        against = np.where(targets == 1, -changes, changes)
        return _mean_of_places(plan, [_log_change(slopes, against)], classes)
    each, width = [], plan.n_classes
    for place, column in enumerate(classes):
        part = slice(place * width, (place + 1) * width)
        known = np.where(column == NO_CLASS, 0, column)
        own = changes[:, part][:, known, np.arange(len(known))]
        each.append(_log_change(slopes[:, part], changes[:, part] - own[:, None]))
    return _mean_of_places(plan, each, classes)


def _log_change(shares: np.ndarray, against: np.ndarray) -> np.ndarray:
    """log1p of the sum over j of shares[n, j] expm1(against[queries, j, n]): [queries, n]."""
    squares, first, second, third, total = (np.zeros_like(against[:, 0]) for _ in range(5))
    for j in range(against.shape[1]):
        squares = against[:, j] * against[:, j] + squares
        moment = shares[:, j] * against[:, j]
        first = first + moment
        moment = moment * against[:, j]
        second = second + moment
        third = moment * against[:, j] + third
        total = shares[:, j] * real.expm1(against[:, j]) + total
    small = _small_log1p(third * np.float32(1 / 6) + (second * np.float32(0.5) + first))
    return np.where(squares < real.SMALL_SQUARES, small, real.log1p(total))


def _small_log1p(s: np.ndarray) -> np.ndarray:
    q = s * np.float32(-0.25) + np.float32(1 / 3)
    return s * s * (s * q - np.float32(0.5)) + s


def _squared_change(slopes: np.ndarray, changes: np.ndarray) -> np.ndarray:
    total = np.zeros_like(changes[:, 0])
    for j in range(changes.shape[1]):
        total = changes[:, j] * (slopes[:, j] + changes[:, j]) + total
    return total * _share(total, changes.shape[1])


def _huber_change(errors: np.ndarray, changes: np.ndarray, delta: float) -> np.ndarray:
    total, half = np.zeros_like(changes[:, 0]), changes.dtype.type(-0.5)
    for j in range(changes.shape[1]):
        a, b = _clipped(errors[:, j], delta), _clipped(errors[:, j] + changes[:, j], delta)
        total = b * changes[:, j] + total
        total = (b - a) * ((a + b) * half + errors[:, j]) + total
    return total * _share(total, changes.shape[1])
