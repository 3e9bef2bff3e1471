# SPDX-License-Identifier: MIT
"""How a model is trained where nobody chooses an estimator: by its structure, and by what a step costs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ttzo.exporter.costs import memory
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.costs.instructions import most_instructions
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.train_defaults import METHODS, Method, UnreadSetting
from ttzo.exporter.plan.training import Training

OF_EQUATIONS = ("coordinate_gn", "subspace_gn")
OF_DIRECTIONS = ("n_queries", "direction")  # who gives one of these wants random directions
BY_THE_DATA = "by the data"  # metadata `steps` of a plan whose steps a run counts by its rows


def chosen(plan: Plan, given: Mapping[str, Any], room: Room | None, fitted: Callable[[Plan, Room], Plan]) -> Plan:
    """The plan with the first method of `METHODS` that works on it, is affordable and fits `room` once `fitted` to it; of
    those that do not fit, the first. Of methods that ask every coordinate, which all make the same gradient, the one of
    fewer instructions goes first. `given`: the settings that a person chose, batch among them; no estimator. Where a
    method was passed over because it does not read one `OF_DIRECTIONS`, a note says so.

    Raises `PlanError` for any other setting that the first method does not read.
    """
    made: list[Plan] = []
    refusals: list[PlanError] = []
    for method in METHODS:
        if (method.estimator in OF_EQUATIONS) != (plan.pde is not None) and method.estimator != "rge":
            continue
        if method.estimator == "coordinate_gn" and not plan.asks_all:
            continue
        try:
            made.append(_with(_noted(plan, refusals, method), method, given))
        except PlanError as error:
            if not made and isinstance(error, UnreadSetting) and error.name not in OF_DIRECTIONS:
                raise
            refusals.append(error)
    if not made:
        raise refusals[0] if refusals else PlanError("no estimator works on this model", "choose one with --estimator")
    affordable = _cheapest_first([each for each in made if _is_affordable(each)] or made[-1:])
    if room is None:
        return affordable[0]
    fitting = (each for each in affordable if memory.work_bytes(fitted(each, room)) <= room.ram_bytes)
    return next(fitting, affordable[0])


def _noted(plan: Plan, refusals: list[PlanError], method: Method) -> Plan:
    unread = [refusal for refusal in refusals if isinstance(refusal, UnreadSetting)]
    if not unread:
        return plan
    notes = [*plan.metadata.get("notes", ()), f"{unread[0]}, so {method.estimator} trains this model"]
    return dataclasses.replace(plan, metadata=plan.metadata | {"notes": notes})


def _cheapest_first(plans: list[Plan]) -> list[Plan]:
    """The same, those that ask every coordinate in the order of a step's instructions; the others stay after them."""
    alike = [each for each in plans if each.training.phases[0].estimator in train_defaults.COORDINATES]
    if len(alike) < 2:
        return plans
    alike.sort(key=lambda each: most_instructions(each, each.training.phases[0]) / each.batch)
    return alike + [each for each in plans if each.training.phases[0].estimator not in train_defaults.COORDINATES]


def _with(plan: Plan, method: Method, given: Mapping[str, Any]) -> Plan:
    settings: dict[str, Any] = {
        "estimator": method.estimator,
        "update": method.update,
        "schedule": method.schedule,
        "warmup_steps": method.warmup_steps,
        "steps": method.steps,
    }
    if "update" not in given:
        of_numbers = None if plan.has_classes else method.rate_of_numbers
        settings["lr"] = method.learning_rate if of_numbers is None else of_numbers
    rest = {name: value for name, value in given.items() if name != "batch"}
    training = train_defaults.overridden(Training(), settings | rest)
    batch = plan.batch if plan.pde is not None or "batch" in given else method.batch
    counted = plan.pde is None and "steps" not in given
    metadata = plan.metadata | ({"steps": BY_THE_DATA} if counted else {})
    return dataclasses.replace(plan, training=training, batch=batch, metadata=metadata)


def _is_affordable(plan: Plan) -> bool:
    (phase,) = plan.training.phases
    return macs_a_step(plan, phase) <= train_defaults.AFFORDABLE_MACS or phase.is_gauss_newton


def with_steps(plan: Plan, n_rows: int, steps: int | None = None) -> Training:
    """The plan's settings for a run of `steps` steps on `n_rows` training rows; None: nobody said how many, and where the
    plan leaves them to the data, the rows count."""
    if plan.metadata.get("steps") != BY_THE_DATA:
        return plan.training
    steps = steps or train_defaults.steps_for(n_rows, plan.batch, plan.has_classes)
    return dataclasses.replace(plan.training, steps=steps, warmup_steps=min(plan.training.warmup_steps, steps // 10))
