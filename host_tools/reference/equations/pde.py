# SPDX-License-Identifier: MIT
"""Twin of pde.c: where the rows of a PDE lie, and the residual there."""

import dataclasses
from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import LIMIT, ProgramInput, Sampler, Stream
from ttzo.exporter.pde.program import Program, RowGroup
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations.derive import Derivatives, Noise, derive
from ttzo.host_tools.reference.number import real
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
        if group.n_faces:
            move_to_faces(plan, points[:, own], faces_of(group, seed, step, rows[own]))
        elif group.sampler == Sampler.readings:
            points[:, own] = readings_of(plan, group, step, rows[own])[: len(points)]
        elif group.sampler != Sampler.interior:
            points[n, own] = (pde.low if group.sampler == Sampler.start else pde.high)[n]
    return points


def readings_of(plan: Plan, group: RowGroup, step: int, rows: np.ndarray) -> np.ndarray:
    """What stands at the readings of a group's rows: their points, then what was measured, [inputs + numbers, n]."""
    readings = np.array(plan.equation.readings, np.float32)
    return readings[(step * group.count + rows) % len(readings)].T


def measured_numbers(plan: Plan, step: int) -> np.ndarray:
    """What was measured at a step's rows, [numbers, batch]; 0 for rows of other kinds."""
    made = np.zeros((plan.equation.n_measured, plan.batch), np.float32)
    for group, own in groups_with_rows(plan):
        if group.sampler == Sampler.readings:
            made[:, own] = readings_of(plan, group, step, np.arange(plan.batch)[own])[plan.in_features :]
    return made


def unknown_values(plan: Plan, theta: np.ndarray) -> np.ndarray:
    """The unknown constants at theta."""
    units = np.array(plan.equation.units, np.float32)
    own = theta[len(theta) - len(units) :]
    with np.errstate(all="ignore"):
        return np.where(units > 0, units * own, real.exp(own))


def faces_of(group: RowGroup, seed: int, step: int, rows: np.ndarray) -> np.ndarray:
    """The face on which each row of a group of faces lies."""
    return np.uint32(group.first_face) + _words(Stream.face, seed, step, rows, 1)[:, 0] % np.uint32(group.n_faces)


def move_to_faces(plan: Plan, points: np.ndarray, faces: np.ndarray) -> None:
    """Points [inputs, n] onto those faces [n], in place."""
    bounds = np.array([plan.equation.low, plan.equation.high], np.float32)
    points[faces // 2, np.arange(len(faces))] = bounds[faces % 2, faces // 2]


def opposite_points(plan: Plan, points: np.ndarray, seed: int, step: int) -> np.ndarray:
    """A step's points [inputs, batch], those of periodic conditions on the opposite faces."""
    moved = points.copy()
    for group, own in groups_with_rows(plan):
        if group.sampler == Sampler.opposite:
            move_to_faces(plan, moved[:, own], faces_of(group, seed, step, np.arange(plan.batch)[own]) ^ np.uint32(1))
    return moved


def validation_points(plan: Plan, first: int, count: int) -> np.ndarray:
    """Validation points [first, first + count), float32 [inputs, count]."""
    return points_in_box(plan, Stream.validation, plan.equation.validation_seed, 0, np.arange(first, first + count))


# ---- rows -----------------------------------------------------------------------------------------------------------


def run_at(
    plan: Plan,
    what: Program,
    points: np.ndarray,
    found: Derivatives,
    unknowns: np.ndarray | None = None,
    measured: np.ndarray | None = None,
) -> np.ndarray:
    """The program at points [inputs, n] where the network's outputs have those derivatives: float32 [n]."""
    n, zero = plan.equation.n_space, np.zeros(points.shape[1], np.float32)
    timed = plan.equation.has_time
    outputs = [_inputs_of(plan, found, o, zero) for o in range(len(found.value))]
    inputs = [points[:n], points[n] if timed else zero, *outputs[0].values()]
    return program.run(what, n, inputs, program.Reads(outputs, found.along, unknowns, measured))


def _inputs_of(plan: Plan, found: Derivatives, o: int, zero: np.ndarray) -> dict[int, np.ndarray | None]:
    """A program's inputs from n on, of output o."""
    timed = plan.equation.has_time

    def split(part: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
        return (None, None) if part is None else (part[: len(part) - timed, o], part[-1, o] if timed else zero)

    (n_x, n_t), (n_xx, n_tt) = split(found.first), split(found.diagonal)
    lap = None if found.laplacian is None else found.laplacian[o]
    return dict(zip(range(ProgramInput.n, len(ProgramInput)), (found.value[o], n_x, n_t, lap, n_xx, n_tt), strict=True))


def groups_with_rows(plan: Plan) -> list[tuple[RowGroup, slice]]:
    """Each group and its rows of the batch."""
    made, at = [], 0
    for group in plan.equation.groups:
        made.append((group, slice(at, at + group.count)))
        at += group.count
    return made


def residuals(plan: Plan, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
    """The weighted residuals of a step's rows, float32 [batch]; their squares are the rows' losses."""
    parts, opposite = [], opposite_points(plan, points, seed, step)

    def run(group: RowGroup, points: np.ndarray, noise: Noise) -> np.ndarray:
        found = derive(plan, theta, len(plan.chain or ()), group.condition.needs, points, noise)
        with np.errstate(all="ignore"):
            return run_at(plan, group.condition, points, found, *known(plan, theta, group, noise))

    for group, own in groups_with_rows(plan):
        noise = Noise(seed, step, np.arange(plan.batch)[own])
        made = run(group, points[:, own], noise)
        if group.sampler == Sampler.opposite:
            with np.errstate(all="ignore"):
                made = made - run(group, opposite[:, own], noise)
        with np.errstate(all="ignore"):
            parts.append(np.float32(group.root_weight) * made)
    return np.concatenate(parts)


def known(plan: Plan, theta: np.ndarray, group: RowGroup, noise: Noise) -> tuple[np.ndarray, np.ndarray | None]:
    """The unknown constants, and what was measured at a group's rows."""
    measured = None
    if group.sampler == Sampler.readings:
        measured = readings_of(plan, group, noise.step, noise.rows)[plan.in_features :]
    return unknown_values(plan, theta), measured


# ---- the last layer's columns ----------------------------------------------------------------------------------------


def _combine(w: np.ndarray, features: np.ndarray, start: np.ndarray) -> np.ndarray:
    """start_o + w_o0 f_0 + w_o1 f_1 + ... of w [outputs, m], features [..., m, n] -> [..., outputs, n]."""
    shape = (*features.shape[:-2], len(w), features.shape[-1])
    total = np.broadcast_to(start[:, None], shape).astype(np.float32)
    for j in range(w.shape[1]):
        total = w[:, j, None] * features[..., j : j + 1, :] + total
    return total


def residuals_and_columns(plan: Plan, theta: np.ndarray, points: np.ndarray, seed: int, step: int, mu: np.float32):
    """The weighted residuals [batch], put together from the last layer's inputs, and their derivatives by that layer's
    weights and biases [unknowns, batch], by differences of mu in each."""
    parts, opposite = [], opposite_points(plan, points, seed, step)
    for group, own in groups_with_rows(plan):
        noise = Noise(seed, step, np.arange(plan.batch)[own])
        base, columns = _columns(plan, theta, group, points[:, own], noise, mu)
        if group.sampler == Sampler.opposite:
            other = _columns(plan, theta, group, opposite[:, own], noise, mu)
            with np.errstate(all="ignore"):
                base, columns = base - other[0], columns - other[1]
        parts.append((base, columns))
    return tuple(np.concatenate(kind, axis=-1) for kind in zip(*parts, strict=True))


def _columns(
    plan: Plan, theta: np.ndarray, group: RowGroup, points: np.ndarray, noise: Noise, mu: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """The residuals at those points, and their columns."""
    features = derive(plan, theta, len(plan.layers) - 1, group.condition.needs, points, noise)
    with np.errstate(all="ignore"):
        given = known(plan, theta, group, noise)
        return _columns_of_features(plan, theta, group, points, features, given, mu)


def _columns_of_features(
    plan: Plan,
    theta: np.ndarray,
    group: RowGroup,
    points: np.ndarray,
    features: Derivatives,
    known: tuple[np.ndarray, np.ndarray | None],
    mu: np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    last, root_weight = plan.layers[-1], np.float32(group.root_weight)
    outputs, numbers = last.out_features, theta[last.parameter_offset :]
    w = numbers[: outputs * last.in_features].reshape(outputs, last.in_features)
    none = np.zeros(outputs, np.float32)
    bias = numbers[w.size : w.size + outputs] if last.has_bias else none
    kinds = ("first", "laplacian", "diagonal", "along")

    def of_each(make: Callable[[str, np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        known = {kind: getattr(features, kind) for kind in kinds}
        return {kind: make(kind, part) for kind, part in known.items() if part is not None}

    whole = Derivatives(_combine(w, features.value, bias), **of_each(lambda _, part: _combine(w, part, none)))

    def residual(found: Derivatives) -> np.ndarray:
        return root_weight * run_at(plan, group.condition, points, found, *known)

    def moved(part: np.ndarray, of_features: np.ndarray, o: int, j: int) -> np.ndarray:
        result = part.copy()
        result[..., o, :] = mu * of_features[..., j, :] + part[..., o, :]
        return result

    def beside(o: int, j: int) -> Derivatives:
        value = moved(whole.value, features.value, o, j)
        return Derivatives(value, **of_each(lambda kind, part: moved(getattr(whole, kind), part, o, j)))

    base, per_mu = residual(whole), np.float32(1) / mu
    found = [residual(beside(o, j)) for o in range(outputs) for j in range(last.in_features)]
    for o in range(outputs if last.has_bias else 0):
        value = whole.value.copy()
        value[o] = value[o] + mu
        found.append(residual(dataclasses.replace(whole, value=value)))
    return base, (np.array(found) - base) * per_mu


# ---- validation -----------------------------------------------------------------------------------------------------


def solution(plan: Plan, outputs: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The fields [fields, n] at points [inputs, n] from the network's outputs [fields, n] there."""
    return np.stack([run_at(plan, each, points, Derivatives(outputs)) for each in plan.equation.solution])


def exact(plan: Plan, points: np.ndarray) -> np.ndarray:
    """The exact fields [fields, n] at points [inputs, n], of an equation where they are known."""
    nothing = Derivatives(np.zeros((plan.out_features, points.shape[1]), np.float32))
    return np.stack([run_at(plan, each, points, nothing) for each in plan.equation.known_solution])
