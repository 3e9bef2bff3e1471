# SPDX-License-Identifier: MIT
"""What the first training steps take, by training them on this machine: which units are awake, how many ridges are tried."""

import tempfile
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Region
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.costs.instructions import Executed
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import GAUSS_NEWTON, REUSING
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.device import BUNDLE, open_device

STEPS = 20
MOST_MACS = 2_000_000_000  # of all steps together: a few seconds


def n_steps(plan: Plan) -> int:
    """Steps that a forecast trains; 0 where every step takes what is planned."""
    phase = plan.training.phases[0]
    if plan.simulation is not None or phase.estimator not in REUSING | GAUSS_NEWTON:
        return 0
    return max(1, min(STEPS, MOST_MACS // max(1, macs_a_step(plan, phase))))


def executed(plan: Plan, rows: np.ndarray | None) -> Executed:
    """The mean of the first `n_steps` steps from the plan's parameters, on packed rows uint8 [any, row_bytes]; None for an
    equation, which draws its own points. Raises what `open_device` raises, for instance without a C compiler."""
    steps = n_steps(plan)
    if not steps:
        return Executed.planned(plan, plan.training.phases[0])
    macs = evaluations = 0
    with tempfile.TemporaryDirectory(prefix="ttzo-plan-") as folder:
        (Path(folder) / BUNDLE).write_bytes(to_bundle.write(plan))
        with open_device("native:", folder) as device:
            for step in range(steps):
                if rows is not None:
                    device.write_batch(rows[np.arange(step * plan.batch, (step + 1) * plan.batch) % len(rows)])
                result = device.step(Region.collocation if rows is None else Region.batch)
                macs, evaluations = macs + result.macs, evaluations + result.evaluations
    return Executed(macs / steps, evaluations / steps)
