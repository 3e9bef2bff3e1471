# SPDX-License-Identifier: MIT
"""A problem's functions at random points, in float64: what is not finite there would end every training."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Sampler

POINTS = 256
DRAWS = 8  # of the solution and its derivatives at each point


def points(low: np.ndarray, high: np.ndarray, n_space: int, sampler: Sampler) -> tuple[np.ndarray, Any]:
    """Places (n_space, POINTS) and times (POINTS,), 0.0 without time, as rows of that kind have them."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(low, high, (POINTS, len(low))).T
    if sampler in (Sampler.faces, Sampler.opposite):
        faces = rng.integers(0, 2 * n_space, POINTS)
        drawn[faces // 2, np.arange(POINTS)] = np.where(faces % 2, high[faces // 2], low[faces // 2])
    elif sampler in (Sampler.start, Sampler.end):
        drawn[n_space] = (low if sampler == Sampler.start else high)[n_space]
    return drawn[:n_space], drawn[n_space] if len(low) > n_space else 0.0


def not_finite(
    function: Callable[[Any], Any], x: np.ndarray, t: Any, fields: tuple[str, ...], unknowns: tuple[str, ...]
) -> float:
    """Share of the points at which a residual is not finite whatever the fields are there; 0 where it cannot be asked."""
    rng, bad = np.random.default_rng(1), np.ones(POINTS, bool)
    with np.errstate(all="ignore"):
        for _ in range(DRAWS):
            names = [each + ending for each in fields for ending in ("", "_t", "_tt", "_n")]
            scalars = {name: rng.normal(size=POINTS) for name in (*names, "lap", "first")}
            scalars |= {name: rng.lognormal(size=POINTS) for name in unknowns}
            vectors = {name: rng.normal(size=x.shape) for name in ("grad", "second", "normal")}
            made_of = {
                "d": lambda *_: rng.normal(size=POINTS),
                "laplacian": lambda _: rng.normal(size=POINTS),
                "gradient": lambda _: rng.normal(size=x.shape),
            }
            try:
                made = function(SimpleNamespace(x=x, t=t, **scalars, **vectors, **made_of))
                made = made if isinstance(made, list | tuple) else [made]
                bad &= ~np.logical_and.reduce([np.isfinite(np.broadcast_to(each, POINTS)) for each in made])
            except Exception:  # a function that is traced need not take arrays
                return 0.0
    return float(bad.mean())


def not_finite_exact(function: Callable[..., Any], x: np.ndarray, t: Any) -> float:
    """Share of the points at which the exact solution is not finite."""
    with np.errstate(all="ignore"):
        try:
            made = function(x, t)
            made = made if isinstance(made, list | tuple) else [made]
            return float(np.mean([~np.isfinite(np.broadcast_to(each, POINTS)) for each in made]))
        except Exception:  # as above
            return 0.0
