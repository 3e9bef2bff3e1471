# SPDX-License-Identifier: MIT
"""Options that nothing of a model would read: they are refused, so that nobody believes in what they did."""

from collections.abc import Mapping
from typing import Any

from ttzo.device_runtime.contract import Derivative, Loss
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING
from ttzo.exporter.zoo.recipe import Recipe

OF_EQUATIONS = ("derivative", "radius", "level", "n_pairs", "n_sampled")
OF_DATA = ("data", "loss", "huber_delta", "input_number")
OF_ANOMALIES = ("threshold", "votes")
READ_BY = {
    "radius": (Derivative.finite_difference, Derivative.sparse_grid, Derivative.monte_carlo),
    "level": (Derivative.sparse_grid,),
    "n_pairs": (Derivative.monte_carlo,),
    "n_sampled": (Derivative.sampled_jet,),
}
CHOSEN_BY = {  # the option that decides whether another one is read
    **dict.fromkeys(READ_BY, "derivative"),
    **dict.fromkeys(OF_ANOMALIES, "task"),
    "huber_delta": "loss",
    "cache": "estimator",
    "frozen": "freeze",
}


def require_use(recipe: Recipe, plan: Plan, own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises `PlanError` for an option (None: not given) that neither the model nor its training reads. `own`: options of the
    model's file, `given`: those of the command or caller, which may choose otherwise and so leave the file's without a
    reader; `recipe` and `plan` are made with both."""
    chosen = {name: value for name, value in given.items() if value is not None}
    options = {name: value for name, value in own.items() if CHOSEN_BY.get(name) not in chosen} | chosen
    for name, value in options.items():
        _require_kind(recipe, name, value)
        if name in READ_BY and recipe.derivative not in READ_BY[name]:
            names = " or ".join(each.name for each in READ_BY[name])
            raise PlanError(
                f"derivative {recipe.derivative.name} does not read {name}",
                f"leave it out, or add --derivative {names}",
            )
        if name in OF_ANOMALIES and not recipe.task:
            raise PlanError(f"option {name} is for models that find anomalies", "leave it out, or add --task anomaly")
        if name == "huber_delta" and recipe.loss != Loss.huber:
            raise PlanError(f"loss {recipe.loss.name} does not read huber_delta", "leave it out, or add --loss huber")
    require_use_of_plan(plan, options)


def _require_kind(recipe: Recipe, name: str, value: Any) -> None:
    if recipe.problem is None and name in OF_EQUATIONS:
        raise PlanError(f"option {name} is for equations, and {recipe.name} is none", "leave it out")
    if recipe.problem is not None and name in OF_DATA and value not in (Loss.residual, "residual"):
        raise PlanError(
            f"{recipe.name} is an equation, which draws its own points: option {name} says nothing of it",
            "leave it out" + "; `ttzo train` and `ttzo eval` take points with known values" * (name == "data"),
        )


def require_use_of_plan(plan: Plan, options: Mapping[str, Any]) -> None:
    """The same of what shows in the plan alone: `cache` and `frozen`."""
    phases = plan.training.phases
    if options.get("cache") is not None and not any(phase.estimator in REUSING for phase in phases):
        names = " and ".join(phase.estimator.name for phase in phases)
        raise PlanError(f"{names} keeps nothing of a sample: it has no caches", "leave --cache out")
    if options.get("frozen") == "int8" and not any(node.frozen for node in plan.graph.nodes):
        raise PlanError("nothing is frozen that could be int8", "name what is to be frozen with --freeze NAME")
