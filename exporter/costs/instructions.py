# SPDX-License-Identifier: MIT
"""Instructions of a training step on a Cortex-M4F, from the structure of a plan.

    mean_instructions(plan, phase, executed)    of a step that took so many multiply-accumulates and loss evaluations
    most_instructions(plan, phase)              with every unit awake, every ridge tried, and cocd's dearest coordinates

A step is a sum of `features` (how often something is done: a number drawn, a loss difference, a multiply-accumulate of one
kernel) times what each costs. The costs are fitted to counted steps by host_tools/measure/fit_instructions.py and lie in
`instruction_costs.json`, with how far each counted step is from its forecast. They are of `separate` arithmetic; of `fused`
some cases of each family are counted beside them (fused_counts.py): the median share of theirs, and the largest; so are
steps of cge in caches of 16 bits.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ttzo.device_runtime.contract import Arithmetic, Estimator
from ttzo.exporter.costs import equation_features, query_features
from ttzo.exporter.costs.cost import evaluations_a_step, macs_a_step
from ttzo.exporter.costs.forward_features import Features, forward
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import GAUSS_NEWTON, REUSING, Phase

PATH = Path(__file__).with_name("instruction_costs.json")


@dataclass(frozen=True)
class Executed:
    """What a step took, as the device reports it."""

    macs: float
    evaluations: float

    @classmethod
    def planned(cls, plan: Plan, phase: Phase) -> "Executed":
        """With every unit awake and every ridge tried."""
        return cls(macs_a_step(plan, phase), evaluations_a_step(plan, phase))


def mean_instructions(plan: Plan, phase: Phase, executed: Executed) -> float:
    """Instructions of a step that took `executed` in the mean."""
    mean, *_ = all_features(plan, phase, executed)
    return _share(plan, phase, "mean") * cost(plan, phase, mean)


def most_instructions(plan: Plan, phase: Phase) -> float:
    """A ceiling of a step's instructions: no counted step took more."""
    made = all_features(plan, phase, Executed.planned(plan, phase))
    share = _share(plan, phase, "most") * stored()["families"][family(plan, phase)]["ceiling"]
    return share * max(cost(plan, phase, each) for each in made)


def _share(plan: Plan, phase: Phase, kind: str) -> float:
    """What a step takes in the plan's arithmetic and caches, of what it takes in `separate` and float32: 1 where none was
    counted."""
    shares = stored()["families"][family(plan, phase)]
    fused = shares.get(f"fused_{kind}", 1.0) if plan.arithmetic == Arithmetic.fused else 1.0
    return fused * shares.get(f"{plan.cache.name}_{kind}", 1.0)


def cost(plan: Plan, phase: Phase, features: Features) -> float:
    name = family(plan, phase)
    return sum(cost_of(name, feature) * count for feature, count in features.items())


@cache
def cost_of(name: str, feature: str) -> float:
    """What a feature costs in a family of steps. One that no counted step of the family has is as dear as in the dearest
    other family; 0 where it was counted nowhere: see `uncounted`."""
    own = stored()["families"][name]
    if feature in own["costs"] or feature in own.get("features", ()):
        return own["costs"].get(feature, 0.0)
    return max((_elsewhere(each, feature) for each in stored()["families"].values()), default=0.0)


def _elsewhere(family: dict, feature: str) -> float:
    alike = (feature, _plain(feature))
    return max(family["costs"].get(each, 0.0) for each in alike)


def _plain(feature: str) -> str:
    """What is done again, or by units that are awake, costs about what it costs the first time, or by all."""
    return feature.removeprefix("awake ").removesuffix(" again")


def uncounted(plan: Plan, phase: Phase) -> list[str]:
    """Features of the step that no counted step of any family has: its forecast leaves them out."""
    name = family(plan, phase)
    seen = {each for of in stored()["families"].values() for each in (*of["costs"], *of.get("features", ()))}
    found = {each for made in all_features(plan, phase, Executed.planned(plan, phase)) for each, n in made.items() if n}
    return sorted(each for each in found if not cost_of(name, each) and not {each, _plain(each)} & seen)


@cache
def stored() -> dict:
    """The fitted costs, with what they were fitted to."""
    return json.loads(PATH.read_text(encoding="utf-8"))


def family(plan: Plan, phase: Phase) -> str:
    """Steps of one family share what their features cost."""
    if plan.simulation is not None:
        return "simulation"
    if phase.estimator == Estimator.coordinate_gn and plan.chain is not None:
        return "coordinate_gn"
    if plan.pde is not None:
        return "equation"
    if phase.estimator not in REUSING:
        return "evaluations"
    name = "coordinates" if phase.estimator in (Estimator.cge, Estimator.cocd) else phase.estimator.name
    name = "node_cge" if phase.estimator == Estimator.chain_differences else name  # what is assembled is the same
    return f"{name} of graphs" if plan.chain is None else f"{name} of places" if plan.gathers else name


def all_features(plan: Plan, phase: Phase, executed: Executed) -> list[Features]:
    """How often a step does what costs instructions, by name: in the mean first, then for each place where cocd's turn may
    begin."""
    always = Features({"step": 1, "parameter": plan.n_parameters})
    name = family(plan, phase)
    if name == "simulation":
        always["program instruction"] = macs_a_step(plan, phase)
    elif name == "coordinate_gn":
        always.add(equation_features.coordinate_gn(plan, phase, executed.macs))
    elif name == "equation":
        always.add(equation_features.residuals(plan, executed.evaluations))
        if phase.estimator in GAUSS_NEWTON - {Estimator.coordinate_gn}:  # of a graph, whose columns are residuals
            always.add(equation_features.gauss_newton(plan, phase, executed.evaluations))
    elif name == "evaluations":
        always.add(forward(plan, executed.evaluations))
    else:
        awake = executed.macs / max(1, macs_a_step(plan, phase))
        always.add(forward(plan, 1))
        asked = query_features.shares(plan, phase)
        return [Features(always).add(query_features.queries(plan, phase, awake, each)) for each in asked]
    if phase.estimator == Estimator.rge:  # each number is drawn for the query and again for the sum
        always[f"{phase.direction.name} number"] = phase.n_queries * plan.n_parameters
    return [always]
