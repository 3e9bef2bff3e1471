# SPDX-License-Identifier: MIT
"""Fold and ranks of a model's `TTLinear` layers for a budget of parameters, operations or memory.

Of all that keep within the budget those with the most parameters are looked at, and of these the one whose forward pass
costs least: what a network costs follows its middle ranks, what it can learn more its number of parameters.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from ttzo.device_runtime.contract import LIMIT, LayerKind
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers import tensor_train
from ttzo.exporter.readers.nn import FORMATS, TTLinear, seeded, torch

MEASURES = ("parameters", "macs", "ram")  # of the model; of a forward pass, core by core; bytes of work buffer
NEAR = 0.95  # of the most parameters, to be looked at
LARGEST_RANK, LARGEST_MIDDLE, MODES = 24, 8, range(2, 6)


def parse(text: str) -> dict[str, int]:
    """`parameters=4000,ram=100000` as numbers. Raises `PlanError`."""
    found = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in MEASURES or not number.isdigit() or int(number) < 1:
            raise PlanError(
                f"budget {part!r} is not understood", f"write one of {', '.join(MEASURES)}, =, and a whole number"
            )
        found[name] = int(number)
    return found


def fitted(plan: Plan, places: set[str], budget: Mapping[str, int]) -> Plan:
    """`plan` with other folds and ranks in the layers called `places`, all parameters 0. Raises `PlanError` when not
    even rank 1 keeps within the budget."""
    front: list[tuple[tuple[Layer, ...], int, int]] = [((), 0, 0)]  # layers, parameters, operations
    for layer in plan.layers:
        choices = _front((each,) for each in _choices(layer)) if layer.name in places else _front([(layer,)])
        front = _front(done + more for (done, *_), (more, *_) in itertools.product(front, choices))
        front = [entry for entry in front if entry[1] <= budget.get("parameters", entry[1])]
    allowed = [made for layers, *_ in front if _keeps(made := _with(plan, layers), budget)]
    if not allowed:
        raise PlanError(
            f"no choice of fold and ranks stays within {', '.join(f'{name} {value:,}' for name, value in budget.items())}",
            "give a larger budget, a smaller --batch, or an estimator that keeps less",
        )
    most = max(made.n_parameters for made in allowed)
    return min((made for made in allowed if made.n_parameters >= NEAR * most), key=lambda made: made.macs)


def _choices(layer: Layer) -> Iterator[Layer]:
    """The layer in its own fold and in balanced ones, wide at the ends and as wide or narrower in the middle."""
    folds = {(layer.in_modes, layer.out_modes)}
    if layer.gather is None:
        modes = tensor_train.balanced_modes
        folds |= {(modes(layer.in_features, n), modes(layer.out_features, n)) for n in MODES}
    for ins, outs in sorted(folds):
        limits = tensor_train.bond_limits(layer.kind, ins, outs)
        for outer in range(1, LARGEST_RANK + 1):
            for middle in range(1, min(outer, LARGEST_MIDDLE) + 1):
                wanted = [outer] * len(limits)
                wanted[len(limits) // 2] = middle if len(limits) > 1 else outer
                ranks = tuple(min(rank, limit) for rank, limit in zip(wanted, limits, strict=True))
                yield dataclasses.replace(layer, in_modes=ins, out_modes=outs, ranks=(1, *ranks, 1), contraction=0)


def _front(choices) -> list[tuple[tuple[Layer, ...], int, int]]:
    """Choices of layers of which no other has as many parameters for fewer operations, most parameters first."""
    counted = [(layers, sum(y.n_parameters for y in layers), sum(y.macs for y in layers)) for layers in choices]
    kept: list[tuple[tuple[Layer, ...], int, int]] = []
    for entry in sorted(counted, key=lambda entry: (-entry[1], entry[2])):
        if not kept or entry[2] < kept[-1][2]:
            kept.append(entry)
    return kept


def _with(plan: Plan, layers: tuple[Layer, ...]) -> Plan:
    at, placed = 0, []
    for layer in layers:
        placed.append(dataclasses.replace(layer, parameter_offset=at, contraction=0))
        at += layer.n_parameters
    return plan.with_layers(placed, parameters=np.zeros(at, np.float32))


def _keeps(plan: Plan, budget: Mapping[str, int]) -> bool:
    if plan.n_parameters > budget.get("parameters", LIMIT["max_parameters"]) or plan.macs > budget.get(
        "macs", plan.macs
    ):
        return False
    return "ram" not in budget or memory.work_bytes(plan) <= budget["ram"]


# ---- the module -----------------------------------------------------------------------------------------------------


def places(module: torch.nn.Module) -> set[str]:
    """Where the module has a `TTLinear`."""
    return {place for place, part in module.named_modules() if type(part) is TTLinear}


def refit(module: torch.nn.Module, plan: Plan, seed: int) -> torch.nn.Module:
    """`module` with each `TTLinear` in the plan's fold and ranks, drawn anew from `seed`."""
    formats = {kind: name for name, kind in FORMATS.items()}
    layers = {layer.name: layer for layer in plan.layers}
    with seeded(seed):
        for place in sorted(places(module)):
            layer: Layer = layers[place]
            made = TTLinear(
                layer.in_features, layer.out_features, layer.in_modes, layer.out_modes, layer.ranks[1:-1],
                formats[LayerKind(layer.kind)], layer.has_bias,
            )  # fmt: skip
            if not place:
                return made
            parent, _, name = place.rpartition(".")
            setattr(module.get_submodule(parent), name, made)
    return module
