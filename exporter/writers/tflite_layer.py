# SPDX-License-Identifier: MIT
"""One layer of a plan in a TFLite file: see to_tflite.py."""

import numpy as np
import tflite

from ttzo.device_runtime.contract import Activation, Combine, LayerKind
from ttzo.exporter.operations.gathering import Patches, Places, Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.writers.tflite_file import NO_TENSOR, FileGraph

Arrays = dict[str, np.ndarray]  # parameters by the names of their tensors

ACTIVATION_OPERATORS = {
    Activation.relu: tflite.BuiltinOperator.RELU,
    Activation.tanh: tflite.BuiltinOperator.TANH,
    Activation.sine: tflite.BuiltinOperator.SIN,
}


def _gather(graph: FileGraph, layer: Layer, x: int) -> int:
    """Adds what brings `x` [1, n_inputs] into the rows [applications, in_features] that the layer is applied to."""
    if isinstance(layer.gather, Patches):
        table = layer.gather.table.reshape(-1)
        if table.max() == layer.n_inputs:  # a patch goes beyond the border: there lies one more number, a zero
            border = graph.constant(f"{layer.name}.one_more", np.array([[0, 0], [0, 1]], np.int32))
            x = graph.compute(
                tflite.BuiltinOperator.PAD, [x, border], (1, layer.n_inputs + 1), f"{layer.name}.with_border"
            )
        places = graph.constant(f"{layer.name}.table", table.astype(np.int32))
        return graph.compute(
            tflite.BuiltinOperator.GATHER, [x, places], (1, table.size), f"{layer.name}.patches", Axis=1
        )
    known = np.arange(layer.in_features, dtype=np.float32)
    if layer.tokens.padding is not None:
        known[layer.tokens.padding] = -1  # no token's number
    shape, numbers = (layer.positions, layer.in_features), graph.constant(f"{layer.name}.known", known)
    x = graph.reshape(x, (1,), f"{layer.name}.column")
    x = graph.compute(tflite.BuiltinOperator.EQUAL, [x, numbers], shape, f"{layer.name}.is_token")
    graph.tensors[x].is_truth = True
    x = graph.compute(tflite.BuiltinOperator.CAST, [x], shape, f"{layer.name}.units")
    if layer.tokens.combine == Combine.each:
        return x
    x = graph.reshape(x, shape, f"{layer.name}.units_by_row")
    x = graph.total(x, (1, layer.in_features), f"{layer.name}.counts")
    if layer.tokens.combine == Combine.sum:
        return x
    count = graph.total(x, (1, 1), f"{layer.name}.total", keeps_axes=True)
    one = graph.constant(f"{layer.name}.at_least_one", np.ones(1, np.float32))
    count = graph.elementwise(tflite.BuiltinOperator.MAXIMUM, [count, one], f"{layer.name}.divisor")
    return graph.elementwise(tflite.BuiltinOperator.DIV, [x, count], f"{layer.name}.shares")


def layer(graph: FileGraph, layer: Layer, arrays: Arrays, x: int) -> int:
    """Adds a layer that turns `x` [1, n_inputs] into [1, n_outputs]; `arrays`: its parameters."""
    x = _gather(graph, layer, x) if isinstance(layer.gather, Patches | Tokens) else x
    if isinstance(layer.gather, Places):
        x = graph.pieces(x, (layer.in_features,), f"{layer.name}.places")
    bias_name = f"{layer.name}.bias"
    bias = graph.constant(bias_name, arrays[bias_name]) if layer.has_bias else NO_TENSOR
    if layer.kind == LayerKind.dense:
        weight = graph.constant(f"{layer.name}.weight", arrays[f"{layer.name}.weight"])
        x = graph.fully_connected(x, weight, bias, f"{layer.name}.affine")
    else:
        x = _contractions(graph, layer, arrays, x)
        if layer.has_bias:
            x = graph.elementwise(tflite.BuiltinOperator.ADD, [x, bias], f"{layer.name}.affine")
    if isinstance(layer.gather, Patches):
        x = graph.swap(x, layer.positions, layer.out_features, f"{layer.name}.features_first")
    if layer.gather:
        x = graph.reshape(x, (layer.n_outputs,), f"{layer.name}.row")
    if layer.activation != Activation.identity:
        code = ACTIVATION_OPERATORS[layer.activation]
        x = graph.elementwise(code, [x], f"{layer.name}.{layer.activation.name}")
    return x


def _contractions(graph: FileGraph, layer: Layer, arrays: Arrays, x: int) -> int:
    """Adds the layer's matrix products, in the order of `Layer.contractions`."""
    n_cores = len(layer.core_shapes)
    numbers = reversed(range(n_cores)) if layer.kind == LayerKind.tt_matrix else range(n_cores)
    for k, (_, rows, inner, columns) in zip(numbers, layer.contractions, strict=True):
        name = f"{layer.name}.core{k}"
        core = arrays[name]
        at = f"{layer.name}.product{k}"
        if layer.kind == LayerKind.tt_matrix:
            x = _times_core(graph, x, graph.constant(name, core.reshape(rows, inner)), columns, at)
        elif k < len(layer.in_modes):
            x = _times_core(graph, x, graph.constant(name, core.reshape(inner, rows).T), columns, at)
        else:  # an output mode: the core stands at the right, its columns are the outputs
            x = graph.fully_connected(x, graph.constant(name, core.reshape(inner, columns).T), NO_TENSOR, at)
    return graph.reshape(x, (layer.out_features,), f"{layer.name}.out")


def _times_core(graph: FileGraph, x: int, weight: int, columns: int, at: str) -> int:
    """Adds `weight` [rows, inner] times `x` [pieces, inner, columns], giving [pieces, rows, columns]."""
    rows, inner = graph.tensors[weight].shape
    x = graph.swap(x, inner, columns, f"{at}.columns_first")
    x = graph.fully_connected(x, weight, NO_TENSOR, at)
    return graph.swap(x, columns, rows, f"{at}.rows_first")
