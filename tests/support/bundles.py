# SPDX-License-Identifier: MIT
"""A small bundle folder and data for it, for the tests of sessions, comparisons and commands."""

import dataclasses
import math
from pathlib import Path

import numpy as np
from devices import dense_plan

from ttzo.device_runtime.contract import Activation, Loss, Number, Update
from ttzo.exporter import pde
from ttzo.exporter.plan.builder import Builder, Value
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle

STEPS = 12


def small_plan(learning_rate: float = 0.05, seed: int = 7) -> Plan:
    """6-8-3, batch 4, Adam, so that moments and the step number count."""
    phase = Phase(n_queries=3, update=Update.adam, learning_rate=learning_rate)
    plan = dense_plan(6, 8, 3, phases=(phase,))
    return plan.with_training(dataclasses.replace(plan.training, steps=STEPS, seed=seed))


def wave_plan() -> Plan:
    """u_tt = u_xx on a string, 2-8-1, trained by random directions; its solution is known."""
    problem = pde.Problem(
        space=[(0, 1)],
        time=(0, 1),
        residual=lambda p: p.u_tt - p.lap,
        solution=lambda n, x, t: pde.sin(math.pi * x[0]) + t * t * x[0] * (1 - x[0]) * n,
        exact=lambda x, t: pde.sin(math.pi * x[0]) * pde.cos(math.pi * t),
        rows=20,
    )
    made = pde.trace(problem)
    plan = dense_plan(2, 8, 1, batch=made.batch)
    last = dataclasses.replace(plan.layers[-1], activation=Activation.identity)
    return plan.with_layers(
        (*plan.layers[:-1], last),
        loss=Loss.residual,
        input_number=Number.float32,
        input_scale=1.0,
        training=Training((Phase(n_queries=8, learning_rate=1e-3),), seed=7, steps=STEPS),
        pde=made,
    )


def residual_wave_plan() -> Plan:
    """The same equation on a network that is no chain: a residual block of gelu units, times a sigmoid of itself."""
    chain, rng, build = wave_plan(), np.random.default_rng(5), Builder((2,))

    def linear(name: str, x: Value, n: int) -> Value:
        weight = rng.normal(0, 0.5, (n, x.numbers)).astype(np.float32)
        return build.linear(name, x, weight, np.zeros(n, np.float32))

    x = build.activation("sine", linear("first", build.input, 6), Activation.sine)
    moved = build.activation("gelu", linear("inner", x, 6), Activation.gelu)
    x = build.add("block", x, linear("outer", moved, 6))
    x = build.multiply("gated", x, build.activation("gate", x, Activation.sigmoid))
    x = build.concat("both", [x, build.input], 0)
    return build.plan(
        linear("last", x, 1),
        loss=Loss.residual,
        input_number=Number.float32,
        batch=chain.batch,
        training=chain.training,
        pde=chain.pde,
    )


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
