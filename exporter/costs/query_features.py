# SPDX-License-Identifier: MIT
"""What queries that share work do that costs instructions, counted by name: instructions.py.

A part is a core, a weight, a bias, or a node of a graph: what is asked in one loop of the device. Queries go in groups of
four (`queries_at_once`), full or not.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ttzo.device_runtime.contract import LIMIT, Estimator
from ttzo.exporter.costs.core_memory import core_shapes, extents
from ttzo.exporter.costs.cost import assembled_macs, finish_macs, n_queries, prepare_macs
from ttzo.exporter.costs.forward_features import Features, is_bent, of_operation
from ttzo.exporter.costs.gathered_memory import propagation_macs
from ttzo.exporter.costs.graph_memory import owners, row_macs, run_again
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import BY_UNITS, Phase

AT_ONCE = LIMIT["queries_at_once"]


@dataclass(frozen=True)
class Part:
    """So many parameters, side by side in theta, and what asking all of them does for one row and one side."""

    n_parameters: int
    features: Features


def queries(plan: Plan, phase: Phase, awake: float, shares: Sequence[float]) -> Features:
    """Of a step: `awake` is the share of the planned multiply-accumulates that it took, `shares` how much of each part it
    asks."""
    found = Features()
    for part, share in zip(parts(plan, phase), shares, strict=True):
        found.add(part.features, plan.batch * (1 + phase.difference) * share)
    found.add({f"awake {name}": count for name, count in found.items()}, awake)
    if phase.estimator == Estimator.block_rge:
        found[f"{phase.direction.name} number"] = phase.n_queries * plan.n_parameters
    for number in range(len(plan.chain or ())):
        found["core product"] += prepare_macs(plan, number)
        if phase.estimator in BY_UNITS:
            found["core product"] += finish_macs(plan, number)
    return found


def shares(plan: Plan, phase: Phase) -> list[list[float]]:
    """How much of each part a step asks: in the mean of cocd's turns first, then where each of its turns may begin; of
    other estimators, all."""
    sizes = [part.n_parameters for part in parts(plan, phase)]
    if phase.estimator != Estimator.cocd:
        return [[1.0] * len(sizes)]
    window, n = n_queries(plan, phase), plan.n_parameters
    whole = plan.chain is not None and not plan.gathers  # of a plain chain, all of each core that the window touches
    mean = [min(1.0, (window + size) / n) if whole else window / n for size in sizes]
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    starts = {first for end, size in zip(ends, sizes, strict=True) for first in (end - size, max(0, end - window))}
    return [mean, *(_from(first, window, sizes, ends, whole) for first in sorted(starts))]


def _from(first: int, window: int, sizes: list[int], ends: list[int], whole: bool) -> list[float]:
    """The share of each part in the window from parameter `first` on."""
    taken = []
    for size, end in zip(sizes, ends, strict=True):
        both = max(0, min(end, first + window) - max(end - size, first))
        both += max(0, min(end, first + window - ends[-1]) - (end - size))  # it goes on at the first parameter
        taken.append(float(both > 0) if whole else min(1.0, both / max(1, size)))
    return taken


def parts(plan: Plan, phase: Phase) -> list[Part]:
    """In the order of theta."""
    if plan.chain is None:
        return [_of_node(plan, phase, owner) for owner in owners(plan)]
    return [part for number in range(len(plan.layers)) for part in _of_layer(plan, phase, number)]


# ---- chains ----------------------------------------------------------------------------------------------------------


def _of_layer(plan: Plan, phase: Phase, number: int) -> Iterator[Part]:
    layer = plan.layers[number]
    places = layer.n_outputs // layer.out_features
    by_blocks = phase.estimator == Estimator.block_rge
    directions = math.ceil(phase.n_queries / AT_ONCE)
    for k, (a, m, n, b) in enumerate(core_shapes(layer)):
        e, size = extents(layer, k), a * m * n * b
        found = Features({"slice number": a * n * b * e.ml * e.mr * places})
        if by_blocks:
            found.add(_of_groups(plan, number, directions, layer.out_features, layer.n_outputs))
            found["combined number"] = phase.n_queries * size * e.ml * e.mr * places
        elif phase.estimator in BY_UNITS:
            whole = assembled_macs(plan, number)
            if whole is None:
                found["sliced number"] = size * e.ml * e.mr
            elif k == 0:
                found["assembled mac"] = whole
                found["assembled number"] = layer.in_features * layer.out_features
        else:
            found.add(_of_groups(plan, number, m * math.ceil(a * n * b / AT_ONCE), e.ml * e.mr, e.ml * e.mr * places))
        yield Part(size, found)
    if by_blocks and layer.has_bias:
        yield Part(layer.out_features, _of_groups(plan, number, directions, layer.out_features, layer.n_outputs))
    elif phase.estimator == Estimator.chain_differences and number + 1 < len(plan.layers):
        carried = {"assembled mac": layer.out_features * plan.layers[number + 1].out_features}
        yield Part(layer.out_features * layer.has_bias, Features(carried))
    elif phase.estimator in BY_UNITS or layer.has_bias:
        groups = layer.out_features if layer.gather else math.ceil(layer.out_features / AT_ONCE)
        yield Part(layer.out_features * layer.has_bias, _of_groups(plan, number, groups, 1, places))


def _of_groups(plan: Plan, number: int, groups: int, channels: int, moved: int) -> Features:
    """So many groups of queries in one layer, each of which moves so many channels, and numbers, of its output."""
    layer, later = plan.layers[number], plan.layers[number + 1 :]
    is_last, hidden = not later, later[:-1]
    found = Features({"group": 1, "moved number": moved})
    found["last output" if is_last else "changed output"] = plan.out_features
    found["bent change"] = moved * is_bent(layer.activation)
    found["bent change"] += sum(y.n_outputs for y in hidden if is_bent(y.activation))
    found["listed number"] = sum(y.n_outputs for y in hidden)
    found["panel mac"] = propagation_macs(plan, number, channels, moved)
    for each in later:
        if isinstance(each.gather, Patches):
            found["patched number"] += math.prod(each.gather.kernel) * each.positions * channels
        channels = each.out_features
    return Features().add(found, groups)


# ---- graphs ----------------------------------------------------------------------------------------------------------


def _of_node(plan: Plan, phase: Phase, owner: Node) -> Part:
    """Queries of one node's parameters: each runs again what it can change."""
    n, by_blocks = owner.operation.n_parameters, phase.estimator == Estimator.block_rge
    is_layer = isinstance(owner.operation, Affine)
    asked = n
    if by_blocks:
        asked = phase.n_queries * (len(owner.tensors) if is_layer else 1)
    elif phase.estimator == Estimator.node_cge and is_layer:
        asked = owner.layer.n_outputs
    run = Features({"query": 1, "query output": plan.out_features})
    for node, own, moved in run_again(plan, owner):
        if own and not moved and not by_blocks and row_macs(node) < node.operation.macs:
            run["row again"] += 1
            run["copied number"] += node.operation.n_outputs
            run["row mac again"] += row_macs(node)
            run["bent number again"] += node.layer.positions * is_bent(node.layer.activation)
        else:
            run.add({f"{name} again": count for name, count in of_operation(node.operation).items()})
    return Part(n, Features().add(run, asked))
