# SPDX-License-Identifier: MIT
"""Points at which the solution of a PDE is held against the exact one, and what simple functions reach there."""

from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Sampler
from ttzo.exporter import zoo
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.equations import pde
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork, in_separate

N_POINTS = 1000
GRID = 161  # points along each axis of a field
FRESH = 1 << 31  # a step that no run reaches
KINDS = {Sampler.interior: "inside", Sampler.readings: "readings"}


def validation(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 (n, inputs) and the exact fields (n, fields): the plan's own validation points where it knows its solution,
    else the reference of the zoo; none where there is neither."""
    if plan.equation.exact is not None:
        points = pde.validation_points(plan, 0, N_POINTS)
        return np.ascontiguousarray(points.T), np.ascontiguousarray(pde.exact(plan, points).T)
    points = np.random.default_rng(0).uniform(plan.equation.low, plan.equation.high, (N_POINTS, plan.in_features))
    exact = exact_at(plan, points)
    if exact is None:
        return np.zeros((0, plan.in_features), np.float32), np.zeros((0, plan.out_features), np.float32)
    return points.astype(np.float32), exact


def exact_at(plan: Plan, points: np.ndarray) -> np.ndarray | None:
    """The exact fields, float32 (n, fields), at points (n, inputs): by the plan, or by the reference of the zoo."""
    if plan.equation.exact is not None:
        return np.ascontiguousarray(pde.exact(plan, np.ascontiguousarray(points.T, np.float32)).T)
    name = plan.metadata.get("source")
    reference = zoo.get(name).reference if name in zoo.names() else None
    return None if reference is None else reference(points).astype(np.float32).reshape(len(points), -1)


def solution_at(plan: Plan, theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The fields, float32 (n, fields), that the network with parameters `theta` gives at points (n, inputs)."""
    at = np.ascontiguousarray(points.T, np.float32)
    inputs = at * np.float32(plan.input_scale) + np.float32(plan.input_offset)
    outputs = NumpyNetwork(in_separate(plan)).outputs(theta, np.ascontiguousarray(inputs.T))
    return pde.solution(plan, outputs.T, at).T


def fresh_residuals(plan: Plan, theta: np.ndarray) -> dict[str, float]:
    """What the equation (inside), conditions and readings leave with parameters `theta`, root mean square without weights, at
    about N_POINTS rows that no step trains on."""
    left: dict[str, list[np.ndarray]] = {"inside": [], "conditions": [], "readings": []}
    for step in range(FRESH, FRESH + max(1, N_POINTS // plan.batch)):
        points = pde.training_points(plan, plan.training.seed, step)
        found = pde.residuals(plan, theta, points, plan.training.seed, step)
        for group, own in pde.groups_with_rows(plan):
            left[KINDS.get(group.sampler, "conditions")].append(found[own].astype(float) / group.root_weight)
    return {kind: float(np.sqrt(np.mean(np.concatenate(parts) ** 2))) for kind, parts in left.items() if parts}


@dataclass(frozen=True, eq=False)
class Field:
    """The fields on a grid of a problem of one or two inputs, values [len(axis 0), .., fields]; `exact` where it is known."""

    axes: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    u: np.ndarray
    exact: np.ndarray | None


def field(plan: Plan, theta: np.ndarray) -> Field:
    """The solution at `theta` on a grid over the domain."""
    bounds = zip(plan.equation.low, plan.equation.high, strict=True)
    axes = tuple(np.linspace(low, high, GRID) for low, high in bounds)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    exact, shape = exact_at(plan, points), (*(GRID,) * len(axes), -1)
    space = ("x", "y") if plan.equation.n_space > 1 else ("x",)
    names = (*space, "t") if plan.equation.has_time else space
    u = solution_at(plan, theta, points).reshape(shape)
    return Field(axes, names, u, None if exact is None else exact.reshape(shape))


def baselines(plan: Plan, points: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Mean squared errors, summed over the fields, with the best constants and the best affine functions in the network's
    place, at points (n, inputs) with exact values (n, fields). Where each field is affine in its own output of the network:
    exact by least squares."""
    at, fields = points.astype(np.float32).T, plan.out_features
    without, with_one = (
        pde.solution(plan, np.full((fields, len(points)), value, np.float32), at).astype(np.float64)
        for value in (0.0, 1.0)
    )
    found = {}
    for name, columns in (("constant", np.ones((len(points), 1))), ("affine", np.c_[np.ones(len(points)), points])):
        found[name] = 0.0
        for k in range(fields):
            matrix, wanted = (with_one[k] - without[k])[:, None] * columns, exact[:, k] - without[k]
            best = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
            found[name] += float(((matrix @ best - wanted) ** 2).mean())
    return found
