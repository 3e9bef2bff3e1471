# SPDX-License-Identifier: MIT
"""Twin of affine.c."""

import dataclasses

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches, Places, Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.host_tools.reference.network.network import activate, layer_forward
from ttzo.host_tools.reference.operations import activation
from ttzo.host_tools.reference.operations.bounded import UNIT, Bounded
from ttzo.host_tools.reference.operations.jet import Jet, apart, side_by_side


def forward(operation: Affine, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    return activate(operation.layer.activation, _affine(operation.layer, tensors, x[0]))


def _affine(layer: Layer, tensors: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Before the activation, in the numbers' own precision."""
    theta = np.concatenate([tensor.reshape(-1) for tensor in tensors])
    layer = dataclasses.replace(layer, parameter_offset=0)
    if isinstance(layer.gather, Places):
        return _places(layer, theta, x)
    if isinstance(layer.gather, Patches) and layer.gather.groups > 1:
        return _groups(layer, tensors, x)
    return layer_forward(layer, theta, x)


def _places(layer: Layer, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    count, n = layer.positions, x.shape[1]
    rows = np.moveaxis(x.reshape(count, layer.in_features, n), 1, 0).reshape(layer.in_features, count * n)
    made = layer_forward(dataclasses.replace(layer, gather=None), theta, rows)
    return np.ascontiguousarray(np.moveaxis(made.reshape(layer.out_features, count, n), 1, 0)).reshape(-1, n)


def _groups(layer: Layer, tensors: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Each group is a layer of its own."""
    part, made = Affine(layer).group, []
    n_out, n_in = part.out_features, part.n_inputs
    for group in range(layer.patches.groups):
        theta = np.concatenate([t[group * n_out : (group + 1) * n_out].reshape(-1) for t in tensors])
        made.append(layer_forward(part, theta, x[group * n_in : (group + 1) * n_in]))
    return np.concatenate(made)


def bounded(operation: Affine, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    layer, plain = operation.layer, [np.asarray(tensor, np.float64) for tensor in tensors]
    sizes = [np.abs(tensor) for tensor in plain]
    exact = _affine(layer, plain, x[0].exact)
    largest = _affine(layer, sizes, np.abs(x[0].exact) + x[0].error)
    without = sizes[: len(layer.core_shapes)] + [np.zeros_like(size) for size in sizes[len(layer.core_shapes) :]]
    reads_tokens = isinstance(layer.gather, Tokens)  # which are what they are
    carried = 0 * largest if reads_tokens else _affine(layer, without, x[0].error)
    lengths = [inner for _, _, inner, _ in layer.contractions] if layer.kind != LayerKind.dense else [layer.in_features]
    made = Bounded(exact, carried + (sum(lengths) + layer.positions + 2) * UNIT * largest)
    return activation.of(layer.activation, made, 0.0) if layer.activation != Activation.identity else made


def jet(operation: Affine, tensors: list[np.ndarray], shape: Jet, x: list[np.ndarray]) -> np.ndarray:
    """The bias belongs to the value alone, the activation to all columns together."""
    layer, (value, *_) = operation.layer, x[0]
    bare = dataclasses.replace(layer, has_bias=False)
    others = _affine(bare, tensors[: len(layer.core_shapes)], side_by_side(x[0][1:]))
    made = np.concatenate([_affine(layer, tensors, value)[None], apart(others, shape.columns - 1)])
    return activation.bend(layer.activation, shape, made)
