# SPDX-License-Identifier: MIT
"""Twin of pde.c: where the rows of a PDE lie, and the residual there."""

import dataclasses

import numpy as np

from ttzo.device_runtime.contract import LIMIT, Sampler, Stream
from ttzo.exporter.pde.program import Program, RowGroup
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations.derive import Derivatives, Noise, derive
from ttzo.host_tools.reference.number.random import philox
from ttzo.host_tools.reference.programs import program

# ---- points ---------------------------------------------------------------------------------------------------------


def _words(stream: Stream, key: int, step: int, rows: np.ndarray, n_blocks: int) -> np.ndarray:
    """Random words uint32 [rows, 4 n_blocks]."""
    counters = np.zeros((len(rows), n_blocks, 4), np.uint32)
    counters[..., 0] = np.arange(n_blocks)
    counters[..., 1] = rows[:, None]
    counters[..., 2], counters[..., 3] = step, stream
    return philox(counters, key).reshape(len(rows), -1)


def points_in_box(plan: Plan, stream: Stream, key: int, step: int, rows: np.ndarray) -> np.ndarray:
    """Points uniform in the box, float32 [inputs, n]."""
    n = plan.equation.n_inputs
    words = _words(stream, key, step, rows, -(-n // 4))[:, :n].T
    low, high = (np.array(bound, np.float32)[:, None] for bound in (plan.equation.low, plan.equation.high))
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24) * (high - low) + low


def _placed(plan: Plan, points: np.ndarray) -> np.ndarray:
    """Uniform points [inputs, n] where the problem draws its training points."""
    pde, n = plan.equation, plan.equation.n_space
    if not pde.points:
        return points
    zero = np.zeros(points.shape[1], np.float32)
    inputs = [points[:n], points[n] if pde.has_time else zero, zero]
    inputs += [None] * (LIMIT["program_inputs"] - len(inputs))
    return np.vstack([program.run(each, n, inputs) for each in pde.points])


def training_points(plan: Plan, seed: int, step: int) -> np.ndarray:
    """The points of a step's rows, float32 [inputs, batch]."""
    pde, rows = plan.equation, np.arange(plan.batch)
    points, at, n = _placed(plan, points_in_box(plan, Stream.collocation, seed, step, rows)), 0, pde.n_space
    for group in pde.groups:
        own = slice(at, at + group.count)
        at += group.count
        if group.sampler == Sampler.faces:
            faces = _words(Stream.face, seed, step, rows[own], 1)[:, 0] % np.uint32(2 * n)
            bounds = np.array([pde.low, pde.high], np.float32)
            points[faces // 2, rows[own]] = bounds[faces % 2, faces // 2]
        elif group.sampler != Sampler.interior:
            points[n, own] = (pde.low if group.sampler == Sampler.start else pde.high)[n]
    return points


def validation_points(plan: Plan, first: int, count: int) -> np.ndarray:
    """Validation points [first, first + count), float32 [inputs, count]."""
    return points_in_box(plan, Stream.validation, plan.equation.validation_seed, 0, np.arange(first, first + count))


# ---- rows -----------------------------------------------------------------------------------------------------------


def run_at(plan: Plan, what: Program, points: np.ndarray, found: Derivatives) -> np.ndarray:
    """The program at points [inputs, n] where the network has those derivatives (of one output): float32 [n]."""
    n, zero = plan.equation.n_space, np.zeros(points.shape[1], np.float32)
    first = None if found.first is None else found.first[:, 0]
    diagonal = None if found.diagonal is None else found.diagonal[:, 0]
    timed = plan.equation.has_time
    inputs = [
        points[:n],
        points[n] if timed else zero,
        found.value[0],
        None if first is None else first[:n],
        None if first is None else first[n] if timed else zero,
        None if found.laplacian is None else found.laplacian[0],
        None if diagonal is None else diagonal[:n],
        None if diagonal is None else diagonal[n] if timed else zero,
    ]
    return program.run(what, n, inputs)


def groups_with_rows(plan: Plan) -> list[tuple[RowGroup, slice]]:
    """Each group and its rows of the batch."""
    made, at = [], 0
    for group in plan.equation.groups:
        made.append((group, slice(at, at + group.count)))
        at += group.count
    return made


def residuals(plan: Plan, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
    """The weighted residuals of a step's rows, float32 [batch]; their squares are the rows' losses."""
    parts, n_layers = [], len(plan.layers)
    for group, own in groups_with_rows(plan):
        noise = Noise(seed, step, np.arange(plan.batch)[own])
        found = derive(plan, theta, n_layers, group.condition.needs, points[:, own], noise)
        with np.errstate(all="ignore"):
            parts.append(np.float32(group.root_weight) * run_at(plan, group.condition, points[:, own], found))
    return np.concatenate(parts)


# ---- the last layer's columns ----------------------------------------------------------------------------------------


def _combine(w: np.ndarray, features: np.ndarray, start: np.float32) -> np.ndarray:
    """start + w_0 f_0 + w_1 f_1 + ... of features [m, n] -> [1, n]."""
    total = np.full(features.shape[1], start, np.float32)
    for weight, feature in zip(w, features, strict=True):
        total = weight * feature + total
    return total[None]


def residuals_and_columns(plan: Plan, theta: np.ndarray, points: np.ndarray, seed: int, step: int, mu: np.float32):
    """The weighted residuals [batch], put together from the last layer's inputs, and their derivatives by that layer's
    weights and bias [unknowns, batch], by differences of mu in each."""
    last, parts = plan.layers[-1], []
    numbers = theta[last.parameter_offset :]
    w, bias = numbers[: last.in_features], numbers[last.in_features] if last.has_bias else np.float32(0)
    for group, own in groups_with_rows(plan):
        noise = Noise(seed, step, np.arange(plan.batch)[own])
        features = derive(plan, theta, len(plan.layers) - 1, group.condition.needs, points[:, own], noise)
        with np.errstate(all="ignore"):
            parts.append(_columns(plan, group, points[:, own], features, w, bias, mu))
    return tuple(np.concatenate(kind, axis=-1) for kind in zip(*parts, strict=True))


def _columns(plan: Plan, group: RowGroup, points: np.ndarray, features: Derivatives, w: np.ndarray, bias, mu):
    zero, root_weight = np.float32(0), np.float32(group.root_weight)

    def stacked(part: np.ndarray | None, start: np.float32 = zero) -> np.ndarray | None:
        return None if part is None else np.stack([_combine(w, kind, start) for kind in part])

    whole = Derivatives(
        _combine(w, features.value, bias),
        stacked(features.first),
        None if features.laplacian is None else _combine(w, features.laplacian, zero),
        stacked(features.diagonal),
    )

    def residual(found: Derivatives) -> np.ndarray:
        return root_weight * run_at(plan, group.condition, points, found)

    def beside(j: int) -> Derivatives:
        def moved(of_whole: np.ndarray, of_features: np.ndarray) -> np.ndarray:
            return mu * of_features[..., j : j + 1, :] + of_whole

        def moved_if_known(of_whole: np.ndarray | None, of_features: np.ndarray | None) -> np.ndarray | None:
            return None if of_whole is None or of_features is None else moved(of_whole, of_features)

        return Derivatives(
            moved(whole.value, features.value),
            moved_if_known(whole.first, features.first),
            moved_if_known(whole.laplacian, features.laplacian),
            moved_if_known(whole.diagonal, features.diagonal),
        )

    base, per_mu = residual(whole), np.float32(1) / mu
    found = [residual(beside(j)) for j in range(len(w))]
    if plan.layers[-1].has_bias:
        found.append(residual(dataclasses.replace(whole, value=whole.value + mu)))
    return base, (np.array(found) - base) * per_mu


# ---- validation -----------------------------------------------------------------------------------------------------


def solution(plan: Plan, outputs: np.ndarray, points: np.ndarray) -> np.ndarray:
    """u at points [inputs, n] from the network's outputs [n] there."""
    return run_at(plan, plan.equation.solution, points, Derivatives(outputs[None]))


def exact(plan: Plan, points: np.ndarray) -> np.ndarray:
    """The exact solution at points [inputs, n], of an equation where it is known."""
    return run_at(plan, plan.equation.known_solution, points, Derivatives(np.zeros((1, points.shape[1]), np.float32)))
