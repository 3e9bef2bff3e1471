# SPDX-License-Identifier: MIT
"""`ttzo estimators`: how gradients can be estimated, and what each way costs on a model."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.exporter.choose import contraction
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
GAUSS_NEWTONS = ("subspace_gn", "last_layer_gn", "coordinate_gn")  # of equations


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


def alternatives_rows(plan: Plan) -> list[tuple[str, str]]:
    """Rows of a table: what a step takes at most, and what it would by other estimators and in another contraction."""
    if plan.simulation is not None:
        return []
    used = estimator_name(plan.training)
    named = GAUSS_NEWTONS if plan.pde is not None else WHOLE_GRADIENTS
    costs = {name: _cost(plan, name, used) for name in (used, *(each for each in named if each != used))}
    own, *others = ((name, cost) for name, cost in costs.items() if not cost["refusal"])
    rest = [f"by {name} {_counts(cost)}" for name, cost in others]
    text = "; ".join([f"at most {_counts(own[1])} instructions on a Cortex-M4F", *rest])
    text += " (all derivatives, without the noise of rge's random directions)" if used == "rge" and rest else ""
    refused = [f"not by {', '.join(names)}: {reason}" for reason, names in _refusals(costs).items()]
    return [("a step", "; ".join([text, *refused])), *_contraction_rows(plan)]


def _counts(cost: dict) -> str:
    """Instructions of a step; of hybrid those of both phases."""
    return ", then ".join(f"{count:,}" for count in cost["instructions"])


def _contraction_rows(plan: Plan) -> list[tuple[str, str]]:
    """The order of multiplication, and what the other one takes, where layers have another."""
    other = contraction.rival(plan)
    if other is None:
        return []
    takes = f"{_most(other):,} instructions a step and {work_bytes(other):,} bytes of work buffer"
    return [
        (
            "contraction",
            f"{_order(plan)}; {_order(other)} takes at most {takes}, this one {_most(plan):,} and {work_bytes(plan):,}",
        )
    ]


def _most(plan: Plan) -> int:
    return round(most_instructions(plan, plan.training.phases[0]))


def _order(plan: Plan) -> str:
    """As `--contraction` takes it."""
    numbers = ":".join(str(layer.contraction) for layer in plan.layers)
    return "core by core" if not any(layer.contraction for layer in plan.layers) else f"--contraction {numbers}"


def arithmetic_text(plan: Plan) -> str:
    """The arithmetic, and what a step takes at most in the other one."""
    fused = plan.arithmetic == Arithmetic.fused
    other = dataclasses.replace(plan, arithmetic=Arithmetic.separate if fused else Arithmetic.fused)
    taken, alternative = _most(plan), _most(other)
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
