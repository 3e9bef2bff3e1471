# SPDX-License-Identifier: MIT
"""What forward passes do that costs instructions, counted by name: instructions.py."""

import math
from collections import defaultdict
from collections.abc import Mapping

from ttzo.device_runtime.contract import Activation, LayerKind
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.operations.operation import Operation
from ttzo.exporter.operations.recurrent import Recurrent
from ttzo.exporter.operations.soft_max import SoftMax
from ttzo.exporter.plan.plan import Plan

CHEAP = (Activation.identity, Activation.relu, Activation.leaky_relu, Activation.relu6, Activation.hard_swish)


class Features(defaultdict[str, float]):
    """How often something is done, by name; 0 for a name that is not there."""

    def __init__(self, counts: Mapping[str, float] | None = None):
        super().__init__(float, counts or {})

    def add(self, other: Mapping[str, float], times: float = 1.0) -> "Features":
        for name, count in other.items():
            self[name] += times * count
        return self


def forward(plan: Plan, passes: float) -> Features:
    """`passes` times the batch's forward passes and losses; a vector of parameters is prepared once for each."""
    row = Features({"row": 1, "row output": plan.out_features})
    for node in plan.graph.nodes:
        row.add(of_operation(node.operation))
    prepared = Features({"prepared mac": sum(layer.prepare_macs for layer in plan.chain or ())})
    return Features().add(row, passes * plan.batch).add(prepared, passes)


def of_operation(operation: Operation) -> Features:
    """What one node does to one row."""
    found = Features({"node": 1, "number written": operation.n_outputs})
    if isinstance(operation, Affine):
        found.add(_of_layer(operation.layer))
    elif isinstance(operation, Recurrent):
        found["recurrent mac"] = operation.macs
        found["bent number"] = operation.steps * (operation.rows + operation.hidden)
    elif isinstance(operation, Activate):
        found["bent number"] = operation.n_outputs * is_bent(operation.activation)
    elif isinstance(operation, SoftMax):
        found["bent number"] = operation.n_outputs
    else:
        found["other mac"] = operation.macs
    return found


def is_bent(activation: Activation) -> bool:
    """Whether it takes an elementary function."""
    return activation not in CHEAP


def _of_layer(layer: Layer) -> Features:
    found = Features({"bent number": layer.n_outputs * is_bent(layer.activation)})
    if isinstance(layer.gather, Tokens):
        return found.add({"token": layer.positions, "token mac": layer.macs})
    if layer.gather is not None:
        kernel = "convolution mac" if layer.kind == LayerKind.dense else "tt convolution mac"
        return found.add({"place": layer.positions, kernel: layer.macs})
    if layer.kind == LayerKind.dense:
        return found.add({"dense mac": layer.macs})
    if not layer.contraction:
        return found.add({"core mac": layer.macs})
    if layer.contraction == len(layer.in_modes):
        return found.add({"whole mac": layer.in_features * 4 * math.ceil(layer.out_features / 4)})
    return found.add({"tiled mac": layer.macs})
