# SPDX-License-Identifier: MIT
"""A simulation in a table of `ttzo export` and `ttzo plan`."""

import numpy as np

from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.plan.plan import Plan


def simulation_rows(plan: Plan, simulation: Simulation) -> list[tuple[str, str]]:
    """What is found, from where and within which bounds; states, columns, integration, starts."""
    start, low, high = (
        simulation.values(theta) for theta in map(np.array, (plan.parameters, simulation.low, simulation.high))
    )
    names = zip(simulation.unknowns, start, low, high, strict=True)
    rows = [(name, f"from {at:.4g}, {a:.4g} to {b:.4g}") for name, at, a, b in names]
    rows += [("states", ", ".join(simulation.states)), ("inputs", ", ".join(simulation.inputs) or "none")]
    rows += [("measured", ", ".join(simulation.measured))]
    rows += [("integration", f"steps of at most {simulation.substep:g} {simulation.time}")]
    return [*rows, ("starts", f"{simulation.n_starts}, {simulation.tries} sweeps each; seed {plan.training.seed}")]
