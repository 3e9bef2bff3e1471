# SPDX-License-Identifier: MIT
"""`ttzo estimators`: how gradients can be estimated, and what each way costs on a model."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.exporter.costs.cost import forward_passes, macs_a_step
from ttzo.exporter.costs.instructions import most_instructions
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.export_again import changed
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.train_defaults import ESTIMATORS, estimator_name
from ttzo.host_tools.cli.choices import WHAT_FOR
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.device.device import read_bundle

HEADING = ("estimator", "instructions", "forward passes", "MACs", "work bytes")
WHOLE_GRADIENTS = ("node_cge", "cge")  # every derivative in each step, which agree as the radius falls


@click.command("estimators")
@click.argument("bundle", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@command
def estimators_command(screen: Screen, bundle: Path | None) -> dict:
    """List the estimators; with a bundle folder, what a step of each costs on this model.

    The bundle's own estimator is counted with the bundle's settings, every other one with its default settings and the
    bundle's batch and caches. Costs are counted as by `ttzo plan`: instructions are a ceiling for a Cortex-M4F, from
    counted steps; a forward pass is one row's, in the order of multiplication that an export with this estimator
    chooses. Of hybrid there is a number for each of its two phases.
    """
    texts, plan = WHAT_FOR["--estimator"], read_bundle(bundle) if bundle else None
    if plan and plan.simulation:
        screen.tell(f"{bundle} is a simulation: its constants are fitted by simulation_gn alone (Gauss-Newton)")
        screen.tell(f"next: ttzo plan {bundle} says what a board needs for it")
        return {"bundle": bundle, "used": estimator_name(plan.training), "estimators": []}
    screen.table("", [(name, texts[name]) for name in ESTIMATORS])
    if plan is None:
        return {"estimators": [{"name": name, "text": texts[name]} for name in ESTIMATORS]}
    if not plan.n_parameters:
        raise TtzoError("every parameter of this model is frozen: no estimator trains it", "name another bundle")
    used = estimator_name(plan.training)
    costs = {name: _cost(plan, name, used) for name in ESTIMATORS}
    rows = [row for name, cost in costs.items() if not cost["refusal"] for row in _rows(name, cost)]
    if rows:
        screen.table(f"\nA step of {bundle} takes at most:", rows, HEADING, spare=HEADING[2:4])
    for reason, names in _refusals(costs).items():
        screen.tell(f"not for this model: {', '.join(names)} ({reason})")
    screen.tell(f"the bundle uses {used}")
    listed = [{"name": name, "text": texts[name], **cost} for name, cost in costs.items()]
    return {"bundle": bundle, "used": used, "estimators": listed}


def _cost(plan: Plan, name: str, used: str) -> dict:
    """Costs of a step, one number for each phase, and bytes of the work buffer; `refusal` says why there are none."""
    try:
        made = plan if name == used else changed(plan, estimator=name)
        macs = [macs_a_step(made, phase) for phase in made.training.phases]
        passes = [forward_passes(made, *each) for each in zip(made.training.phases, macs, strict=True)]
        instructions = [round(most_instructions(made, phase)) for phase in made.training.phases]
        return {
            "refusal": "",
            "instructions": instructions,
            "forward_passes": passes,
            "macs": macs,
            "work_bytes": work_bytes(made),
        }
    except TtzoError as error:
        return {"refusal": str(error)}


def _refusals(costs: Mapping[str, dict]) -> dict[str, list[str]]:
    """The names of the estimators that do not train the model, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, cost in costs.items():
        if cost["refusal"]:
            reasons.setdefault(cost["refusal"].removeprefix(f"{name} "), []).append(name)
    return reasons


def alternatives_row(plan: Plan) -> list[tuple[str, str]]:
    """What a step of a network's estimator takes at most, and of the others that ask every coordinate: a row of a table."""
    used = estimator_name(plan.training)
    if plan.pde is not None or plan.simulation is not None or used not in (*WHOLE_GRADIENTS, "rge"):
        return []
    costs = {name: _cost(plan, name, used) for name in WHOLE_GRADIENTS if name != used}
    text = f"at most {round(most_instructions(plan, plan.training.phases[0])):,} instructions on a Cortex-M4F"
    rest = [f"by {name} {cost['instructions'][0]:,}" for name, cost in costs.items() if not cost["refusal"]]
    why = " (all derivatives, without the noise of rge's random directions)" if used == "rge" and rest else ""
    return [("a step", "; ".join([text, *rest]) + why)]


def arithmetic_text(plan: Plan) -> str:
    """The arithmetic, and what a step takes at most in the other one."""
    fused = plan.arithmetic == Arithmetic.fused
    other = dataclasses.replace(plan, arithmetic=Arithmetic.separate if fused else Arithmetic.fused)
    taken, alternative = (round(most_instructions(each, each.training.phases[0])) for each in (plan, other))
    if taken == alternative:
        return plan.arithmetic.name
    where = "which every board has" if fused else "where the board has it"
    return f"{plan.arithmetic.name}; a step in {other.arithmetic.name}, {where}, takes at most {alternative:,} instructions, in this one {taken:,}"


def _rows(name: str, cost: dict) -> list[tuple[str, ...]]:
    """A row for each phase; the work buffer is that of both."""
    phases = zip(*(cost[key] for key in ("instructions", "forward_passes", "macs")), strict=True)
    return [
        (f"{name}, then" if number else name, *(f"{count:,}" for count in counts), f"{cost['work_bytes']:,}")
        for number, counts in enumerate(phases)
    ]
