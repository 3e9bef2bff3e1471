# SPDX-License-Identifier: MIT
"""Points at which the solution of a PDE is held against the exact one, and what simple functions reach there."""

import numpy as np

from ttzo.exporter import zoo
from ttzo.exporter.plan import Plan
from ttzo.host_tools.reference import pde

N_POINTS = 1000


def validation(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 (n, inputs) and the exact u (n, 1): the plan's own validation points where it knows its solution,
    else the reference of the zoo; none where there is neither."""
    if plan.pde.exact is not None:
        points = pde.validation_points(plan, 0, N_POINTS)
        return np.ascontiguousarray(points.T), pde.exact(plan, points)[:, None]
    name = plan.metadata.get("source")
    reference = zoo.get(name).reference if name in zoo.names() else None
    if reference is None:
        return np.zeros((0, plan.in_features), np.float32), np.zeros((0, 1), np.float32)
    points, exact = reference(N_POINTS)
    return points.astype(np.float32), exact.astype(np.float32)[:, None]


def baselines(plan: Plan, points: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Mean squared errors of u with the best constant and the best affine function in the network's place, at points
    (n, inputs) with exact values (n, 1). Where the solution is affine in the network's output: exact by least squares."""
    at = points.astype(np.float32).T
    without, with_one = (
        pde.solution(plan, np.full(len(points), value, np.float32), at).astype(np.float64) for value in (0.0, 1.0)
    )
    found = {}
    for name, columns in (("constant", np.ones((len(points), 1))), ("affine", np.c_[np.ones(len(points)), points])):
        matrix, wanted = (with_one - without)[:, None] * columns, exact[:, 0] - without
        best = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
        found[name] = float(((matrix @ best - wanted) ** 2).mean())
    return found
