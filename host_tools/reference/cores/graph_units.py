# SPDX-License-Identifier: MIT
"""Twin of graph_units.c: what node_cge makes of the units of one layer of a graph. The batch is the last axis."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ttzo.device_runtime.contract import Activation, Combine, LayerKind
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches, Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.graph import Node
from ttzo.host_tools.reference.network.gathered_layer import gathered
from ttzo.host_tools.reference.operations import affine

Tensors = list[np.ndarray]


def before_activation(layer: Layer, tensors: Tensors, x: np.ndarray) -> np.ndarray:
    """Inputs [n_inputs, n] -> [n_outputs, n]."""
    plain = Affine(dataclasses.replace(layer, activation=Activation.identity))
    return affine.forward(plain, tensors, [x])


def add_row(node: Node, tensors: Tensors, x: np.ndarray, units: np.ndarray, gradient: np.ndarray) -> None:
    """Adds to theta's `gradient` what one row says about the node's parameters: inputs `x` [n_inputs], differences of its
    units [n_outputs]."""
    layer = node.layer
    own = [gradient[t.offset : t.offset + t.size].reshape(t.shape) for t in node.tensors]
    if layer.kind != LayerKind.dense:
        for k in range(len(layer.core_shapes)):
            own[k] += _core(layer, tensors, k, x, units)
    elif isinstance(layer.gather, Tokens):
        _add_tokens(layer, x, units, own[0])
    else:
        each = _by_place(layer, units)
        for place, outputs, inputs in _applications(layer, x):
            own[0][outputs] = each[place, outputs][:, None] * inputs + own[0][outputs]
    if layer.has_bias:
        for place in _by_place(layer, units):
            own[-1] += place


def _by_place(layer: Layer, units: np.ndarray) -> np.ndarray:
    """[positions, out_features]"""
    if isinstance(layer.gather, Patches):
        return units.reshape(layer.out_features, -1).T
    return units.reshape(-1, layer.out_features)


def _applications(layer: Layer, x: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Place by place and group by group: the place, the outputs of the group, and the inputs [in_features]."""
    if not isinstance(layer.gather, Patches):
        for place, inputs in enumerate(x.reshape(-1, layer.in_features)):
            yield place, slice(None), inputs
        return
    part = Affine(layer).group
    groups = [gathered(part, images[:, None]) for images in x.reshape(layer.patches.groups, -1)]
    for place in range(layer.positions):
        for number, patches in enumerate(groups):
            outputs = slice(number * part.out_features, (number + 1) * part.out_features)
            yield place, outputs, patches[:, place]


def _add_tokens(layer: Layer, x: np.ndarray, units: np.ndarray, weight: np.ndarray) -> None:
    tokens = x.astype(np.int64)
    known = tokens != (-1 if layer.tokens.padding is None else layer.tokens.padding)
    kind, count = units.dtype.type, max(1, int(known.sum()))
    share = kind(1) / kind(count) if layer.tokens.combine == Combine.mean else kind(1)
    for place in np.flatnonzero(known):
        own = units if layer.tokens.combine != Combine.each else _by_place(layer, units)[place]
        weight[:, tokens[place]] = own * share + weight[:, tokens[place]]


def _core(layer: Layer, tensors: Tensors, k: int, x: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The derivatives of core k: the outputs are linear in it."""
    cores = [np.zeros_like(t) if n >= len(layer.core_shapes) else t.copy() for n, t in enumerate(tensors)]
    cores[k] = np.zeros_like(tensors[k])
    entries, made = cores[k].reshape(-1), np.zeros(tensors[k].size, units.dtype)
    for entry in range(entries.size):
        entries[entry] = 1
        outputs = before_activation(layer, cores, x[:, None])[:, 0]
        entries[entry] = 0
        total = units.dtype.type(0)
        for difference, output in zip(units, outputs, strict=True):
            total = difference * output + total
        made[entry] = total
    return made.reshape(tensors[k].shape)
