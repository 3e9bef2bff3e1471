# SPDX-License-Identifier: MIT
"""Twin of layers.c and network.c: rows of raw inputs through all layers, the batch as the last axis of every array."""

import numpy as np

from ttzo.device_runtime.contract import Activation, Cache, LayerKind, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.reference.network.gathered_layer import combined, gathered
from ttzo.host_tools.reference.network.merged_layer import merge_cores
from ttzo.host_tools.reference.network.product import multiply
from ttzo.host_tools.reference.number import real

NUMBER_DTYPE: dict[int, np.dtype] = {
    Number.uint8: np.dtype("u1"),
    Number.int16: np.dtype("<i2"),
    Number.float32: np.dtype("<f4"),
}


def read_inputs(plan: Plan, raw: np.ndarray) -> np.ndarray:
    """Raw inputs [n, in_features] as they are sent -> network inputs float32 [n, in_features]."""
    return raw.astype(np.float32) * np.float32(plan.input_scale) + np.float32(plan.input_offset)


def layer_forward(layer: Layer, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`x` float32 [n_inputs, n] -> [n_outputs, n] before the activation. theta is the whole parameter vector."""
    if layer.contraction:
        return cut_forward(layer, theta, x)
    return combined(layer, x, core_by_core(layer, theta, gathered(layer, x)))


def narrowed(numbers: np.ndarray) -> np.ndarray:
    """What 16 bits with 11 after the binary point keep of numbers: the nearest, ties to even, saturated."""
    unit = numbers.dtype.type(2.0**-11)
    return np.rint(np.clip(numbers / unit, -32768, 32767)) * unit


def core_by_core(
    layer: Layer, theta: np.ndarray, x: np.ndarray, cache: Cache = Cache.float32, narrow_units: bool = False
) -> np.ndarray:
    """The same, in the order of `Layer.contractions` whatever the layer's contraction, with the arrays between them kept
    as `cache` says, and the last in 16 bits if `narrow_units`: what reusing estimators do."""
    tensors = [theta[t.offset : t.offset + t.size].reshape(t.shape) for t in layer.tensors]
    bias = tensors.pop() if layer.has_bias else np.zeros(layer.out_features, np.float32)
    order = range(len(tensors))
    if layer.kind == LayerKind.tt_matrix:
        order = order[::-1]
    n, state = x.shape[1], x
    for number, (k, (repeats, rows, inner, columns)) in enumerate(zip(order, layer.contractions, strict=True)):
        last = number + 1 == len(layer.contractions)
        start = bias.reshape(repeats, rows, columns, 1) if last else np.float32(0)
        core = tensors[k]
        if layer.kind == LayerKind.tt_tensor and k >= len(layer.in_modes):
            left = np.moveaxis(state.reshape(repeats, rows, 1, inner, n), 3, -1)
            right = core.reshape(inner, 1, 1, columns, 1)
        else:
            left = core.reshape(inner, rows).T if layer.kind == LayerKind.tt_tensor else core.reshape(rows, inner)
            left = left[None, :, None, None, :]
            right = np.moveaxis(state.reshape(repeats, inner, 1, columns, n), 1, 0)
        state = multiply(left, right, start)
        if narrow_units if last else cache != Cache.float32:
            state = narrowed(state)
    return state.reshape(layer.out_features, n)


def cut_half(layer: Layer, theta: np.ndarray, first: int, end: int) -> np.ndarray:
    """Cores [first, end) multiplied out from left to right: float32 [left rank, outputs, inputs, right rank]."""
    cores = [theta[t.offset : t.offset + t.size].reshape(t.shape) for t in layer.tensors[first:end]]
    made = cores[0]
    for core in cores[1:]:
        (r, m, n, _), (inner, m_core, n_core, right) = made.shape, core.shape
        flat = multiply(made.reshape(-1, 1, inner), core.reshape(inner, 1, -1), np.float32(0))
        made = flat.reshape(r, m, n, m_core, n_core, right).transpose(0, 1, 3, 2, 4, 5)
        made = made.reshape(r, m * m_core, n * n_core, right)
    return made


def cut_forward(layer: Layer, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Twin of split_layer.c: the right half's product, then the left half's, summed over (left inputs, rank between)."""
    bias = (
        theta[layer.tensors[-1].offset :][: layer.out_features]
        if layer.has_bias
        else np.zeros(layer.out_features, np.float32)
    )
    c, length = layer.contraction, len(layer.in_modes)
    if c == length:
        return multiply(cut_half(layer, theta, 0, c)[0, ..., 0][:, None], x, bias[:, None])
    left, right = (cut_half(layer, theta, *half) for half in ((0, c), (c, length)))
    left, right = left[0], right[..., 0]  # [m_left, n_left, b], [b, m_right, n_right]
    n, (m_left, n_left, rank), (_, m_right, n_right) = x.shape[1], left.shape, right.shape
    inputs = np.moveaxis(x.reshape(n_left, n_right, n), 1, 0)[:, :, None, None]
    middle = multiply(right[:, :, None], inputs, np.float32(0))  # [n_left, b, m_right, n]
    out = multiply(
        left.reshape(m_left, 1, 1, -1), middle.reshape(n_left * rank, m_right, n), bias.reshape(m_left, m_right, 1)
    )
    return out.reshape(layer.out_features, n)


def activate(kind: Activation, z: np.ndarray) -> np.ndarray:
    if kind == Activation.relu:
        return np.where(z < 0, np.float32(0), z)
    if kind == Activation.tanh:
        return real.tanh(z)
    return real.sin(z) if kind == Activation.sine else z


def forward(plan: Plan, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Network inputs float32 [n, in_features] -> outputs float32 [n, out_features] at the parameters `theta`."""
    with np.errstate(all="ignore"):  # a broken forward pass shows as a loss that is not finite
        state = np.ascontiguousarray(x.T)
        for layer in plan.layers:
            layer, parameters = merge_cores(layer, theta) if plan.pde else (layer, theta)
            state = activate(layer.activation, layer_forward(layer, parameters, state))
    return np.ascontiguousarray(state.T)
