# SPDX-License-Identifier: MIT
"""Cells of the tables on the equation that the product runs itself: a bundle trained on `native:`, as `ttzo train` does."""

import dataclasses
import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    Derivative,
    DeviceError,
    Difference,
    Direction,
    Estimator,
    Loss,
    Number,
    Region,
    StateRecord,
    Update,
)
from ttzo.exporter.pde import trace
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.zoo import hjb20
from ttzo.host_tools.device.device import BUNDLE, Device, open_device
from ttzo.host_tools.research.rivals.objective import Cost

URL = "native:"
RADIUS = 0.1  # of Stein's estimators the paper's sigma; of differences the step that float32 stands (0.01 drowns in it)
DERIVATIVES = {
    "fd": Derivative.finite_difference,
    "se": Derivative.monte_carlo,
    "sg": Derivative.sparse_grid,
    "jet": Derivative.jet,
}
SIGN_RGE = Phase(
    estimator=Estimator.rge,
    direction=Direction.rademacher,
    difference=Difference.one_sided,
    update=Update.sign,
    n_queries=1,
    perturb_radius=1e-2,
    learning_rate=1e-3,
)
OWN = ("subspace_gn", "coordinate_gn")  # estimators of ours, on jets, with the zoo's settings


def is_there(estimator: str) -> bool:
    """Whether this version has that estimator of ours."""
    return estimator in train_defaults.ESTIMATORS


def sign_rge_plan(module: torch.nn.Module, derivative: str, n_points: int, n_steps: int, seed: int) -> Plan:
    """The paper's zeroth-order training: one Rademacher direction a step, steps of the sign."""
    return _plan(module, DERIVATIVES[derivative], n_points, Training((SIGN_RGE,), seed=seed, steps=n_steps))


def own_plan(module: torch.nn.Module, estimator: str, seed: int) -> Plan:
    """An estimator of ours with the settings of the zoo's `hjb20`: its steps, points and derivatives."""
    recipe = hjb20.RECIPE
    training = train_defaults.overridden(recipe.training, {"estimator": estimator, "seed": seed})
    return _plan(module, recipe.derivative, hjb20.ROWS, training)


def _plan(module: torch.nn.Module, derivative: Derivative, n_points: int, training: Training) -> Plan:
    problem = dataclasses.replace(hjb20.PROBLEM, rows=n_points)
    pde = trace(problem, derivative, RADIUS)
    return plan_from_module(
        module, loss=Loss.residual, training=training, batch=pde.batch, input_number=Number.float32, pde=pde
    )


def stepped(device: Device, region: Region, cost: Cost) -> float:
    """One step, its costs added: the loss before it, NaN where a loss was not finite."""
    try:
        done = device.step(region)
    except DeviceError as error:
        if error.name != "non_finite":
            raise
        return math.nan
    cost.evaluations += done.evaluations
    cost.macs += done.macs
    return done.loss


class NativeWork:
    """A plan trained on `native:`. Points are the device's own, drawn from (seed, step)."""

    def __init__(self, plan: Plan, n_validation: int):
        self.cost = Cost()
        self._validation = np.zeros((n_validation, plan.row_bytes), np.uint8)  # it draws them itself: a number of rows
        self._owned = ExitStack()
        folder = Path(self._owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-cell-")))
        (folder / BUNDLE).write_bytes(to_bundle.write(plan))
        self.device = self._owned.enter_context(open_device(URL, folder))

    @property
    def number(self) -> int:
        return self.device.step_count

    def step(self) -> float:
        return stepped(self.device, Region.collocation, self.cost)

    def measure(self) -> float:
        """Mean squared error of the solution."""
        return self.device.evaluate(self._validation).loss

    def spent(self) -> tuple[int, int]:
        return self.cost.evaluations, self.cost.macs

    def state(self) -> dict[str, Any]:
        device = self.device
        arrays = device.parameters(), device.moments(), np.frombuffer(device.state().pack(), np.uint8).copy()
        parameters, moments, state = map(torch.from_numpy, arrays)
        return {"parameters": parameters, "moments": moments, "state": state, "cost": self.spent()}

    def load(self, state: dict[str, Any]) -> None:
        record = StateRecord.unpack(state["state"].numpy().tobytes())
        self.device.load(state["parameters"].numpy(), state["moments"].numpy(), record)
        self.cost = Cost(*state["cost"])

    def close(self) -> None:
        """Ends the device, so that its processor time is known."""
        self._owned.close()
