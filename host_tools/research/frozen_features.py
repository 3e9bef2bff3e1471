# SPDX-License-Identifier: MIT
"""frozen_features on linear equations of the zoo beside FastLSQ's features, as many, in the same run: docs/results/equation_steps.md.

    python -m ttzo.host_tools.research.frozen_features

FastLSQ's kind of features, written from its idea and not checked against its paper: sin(w x + b), w Gaussian of one scale,
b uniform, one draw, one least squares in double precision over float32 columns; its scale is the one of SCALES whose residuals
at fresh rows are smallest.
"""

import dataclasses
import json
import math
import tempfile

import numpy as np

from ttzo.device_runtime.contract import Activation, Region, Schedule
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import solution_at
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.equations import coordinate_columns, pde
from ttzo.host_tools.research import equation_steps

UNITS = {"darcy": 174, "black-scholes": 296, "heat10": 139}
ROWS, STEPS, SEEDS = 3000, 16, range(3)
SCALES = (1.0, 2.0, 4.0, 8.0)


def plan_with(name: str, units: int, seed: int, activation: str = "tanh") -> Plan:
    """The equation with one hidden layer of so many units, trained by frozen_features."""
    from ttzo.exporter.readers.from_torch import plan_from_module
    from ttzo.exporter.zoo.pde_network import dense

    like = plan_of(name, seed=seed, batch=ROWS)
    phases = train_defaults.default_phases("frozen_features")
    training = Training(phases, steps=STEPS, seed=seed, schedule=Schedule.constant)
    module = dense((like.in_features, units, 1), activation=activation, seed=seed)
    return dataclasses.replace(
        plan_from_module(module, loss=like.loss, training=training, batch=like.batch, input_number=like.input_number,
                         pde=like.pde),
        metadata=like.metadata,
    )  # fmt: skip


def percent(plan: Plan, like: Plan, theta: np.ndarray) -> float:
    """Relative L2 error in percent at the points of the other figures."""
    points = data_set.load(None, like)
    x, y = points.x_test[: equation_steps.POINTS], points.y_test[: equation_steps.POINTS]
    found = solution_at(plan, theta, x).reshape(len(x), -1)
    y = y.reshape(len(y), -1)
    return 100 * float(np.linalg.norm(found - y) / np.linalg.norm(y))


def ours(plan: Plan) -> tuple[np.ndarray, int]:
    """Theta and evaluations after all steps on `native:`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device("native:", equation_steps._bundle(folder, plan)) as device,
    ):
        evaluations = sum(device.step(Region.collocation).evaluations for _ in range(plan.training.steps))
        return device.parameters(), evaluations


def fast_lsq(plan: Plan, seed: int) -> np.ndarray:
    """Theta of the best of SCALES."""
    rng, (layer, last), best = np.random.default_rng(seed), plan.layers, (math.inf, plan.parameters)
    n, units = layer.in_features, layer.out_features
    fitted, fresh = (pde.training_points(plan, seed, step) for step in (0, 1))
    for scale in SCALES:
        theta = np.zeros(plan.n_parameters, np.float32)
        theta[: n * units] = scale * rng.normal(size=n * units)
        theta[n * units : last.parameter_offset] = rng.uniform(0, 2 * math.pi, units)
        one = np.float32(1)
        base, columns = coordinate_columns.residuals_and_columns(plan, theta, fitted, seed, 0, one, of_last=True)
        theta[last.parameter_offset :] = np.linalg.lstsq(columns.T.astype(float), -base.astype(float), rcond=None)[0]
        left = float((pde.residuals(plan, theta, fresh, seed, 1).astype(float) ** 2).mean())
        best = min(best, (left, theta), key=lambda each: each[0])
    return best[1]


def main() -> None:
    stored = equation_steps.PAGE.with_suffix(".json")
    found = json.loads(stored.read_text(encoding="utf-8"))
    made = found.setdefault(equation_steps.FROZEN, {})
    for name, units in UNITS.items():
        errors: dict[str, list[float]] = {"ours": [], "fast_lsq": []}
        for seed in SEEDS:
            like, plan = plan_of(name, seed=seed), plan_with(name, units, seed)
            theta, evaluations = ours(plan)
            errors["ours"].append(percent(plan, like, theta))
            sines = plan_with(name, units, seed, "sine")
            assert sines.layers[0].activation == Activation.sine
            errors["fast_lsq"].append(percent(sines, like, fast_lsq(sines, seed)))
        made[name] = {"units": units, "steps": STEPS, "rows": ROWS, "evaluations": evaluations, **errors}
        print(name, made[name], flush=True)
        stored.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        equation_steps.PAGE.write_text(equation_steps.page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
