# SPDX-License-Identifier: MIT
"""A small bundle folder and data for it, for the tests of sessions, comparisons and commands."""

import dataclasses
from pathlib import Path

import numpy as np
from devices import dense_plan

from ttzo.device_runtime.contract import Update
from ttzo.exporter import to_bundle
from ttzo.exporter.plan import Phase, Plan
from ttzo.host_tools.session import Overrides

STEPS = 12


def small_plan(learning_rate: float = 0.05, seed: int = 7) -> Plan:
    """6-8-3, batch 4, Adam, so that moments and the step number count."""
    phase = Phase(n_queries=3, update=Update.adam, learning_rate=learning_rate)
    plan = dense_plan(6, 8, 3, phases=(phase,))
    return plan.with_training(dataclasses.replace(plan.training, steps=STEPS, seed=seed))


def write_bundle(folder: Path, plan: Plan) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.ttzo").write_bytes(to_bundle.write(plan))
    np.savez(folder / "rows.npz", **arrays())
    return folder


def arrays(n: int = 30, seed: int = 0) -> dict[str, np.ndarray]:
    """Three classes of six numbers each, a bright pair of columns for every class; 10 test rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n + 10)
    x = rng.integers(0, 100, (n + 10, 6))
    x[np.arange(n + 10), 2 * y] += 150
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}


def steps(n: int) -> Overrides:
    return Overrides(steps=n)
