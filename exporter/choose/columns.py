# SPDX-License-Identifier: MIT
"""How many of coordinate_gn's columns a board keeps: all, or as many as fit; the others are made anew once more."""

import dataclasses

from ttzo.device_runtime.contract import Estimator
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.train_defaults import ALL_COLUMNS

MOST_PARTS = 16  # with more, a step makes the network's jets too often


def with_columns_that_fit(plan: Plan, room: Room) -> Plan:
    """The plan with as many columns at once as fit the room; as it is where nobody left that open, or too few would."""
    (phase, *others) = plan.training.phases
    over = memory.work_bytes(plan) - room.ram_bytes
    if others or phase.estimator != Estimator.coordinate_gn or phase.n_coordinates != ALL_COLUMNS or over <= 0:
        return plan
    at_once = plan.n_coordinates - -(-over // (4 * plan.batch)) - 2  # the padding of pieces
    if at_once * MOST_PARTS < plan.n_coordinates:
        return plan
    fewer = dataclasses.replace(phase, n_coordinates=at_once)
    return plan.with_training(dataclasses.replace(plan.training, phases=(fewer,)))
