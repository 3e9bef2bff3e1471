# SPDX-License-Identifier: MIT
"""Convolutions and embeddings in ONNX: a Conv, or plain operators around the product of one application.

A dense kernel is one Conv. Before a tensor train there is a Gather of the patches, or there are unit vectors of the tokens
(an Equal with all token numbers); sums and means of tokens become those of the unit vectors, because the layer is
linear. After it, the applications of a sample are brought into one row.
"""

from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import Combine, LayerKind
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.writers.onnx.onnx_nodes import NodeProto, helper, numpy_helper


def gathered_affine(
    layer: Layer, value: str, out: str, product: Callable[[Layer, str, str], NodeProto]
) -> list[NodeProto]:
    """Nodes from `value` [batch, n_inputs] to `out` [batch, n_outputs]; `product(layer, rows, out)` is one application
    for each row."""
    nodes = _Nodes(layer.name)
    if isinstance(layer.gather, Patches):
        if layer.kind == LayerKind.dense:
            _convolution(nodes, layer, value, out)
        else:
            _patches(nodes, layer, value, out, product)
    else:
        _tokens(nodes, layer, value, out, product)
    return nodes.made


class _Nodes:
    """Nodes of one layer; every value is named after what it is."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.made: list[NodeProto] = []

    def add(self, operator: str, inputs: list[str], what: str, out: str = "", **attributes) -> str:
        out = out or f"{self.prefix}.{what}"
        self.made.append(helper.make_node(operator, inputs, [out], f"{self.prefix}.{what}", **attributes))
        return out

    def constant(self, values: np.ndarray, what: str) -> str:
        return self.add("Constant", [], what, value=numpy_helper.from_array(values))

    def reshape(self, value: str, shape: tuple[int, ...], what: str, out: str = "") -> str:
        return self.add("Reshape", [value, self.constant(np.array(shape, np.int64), f"{what}_shape")], what, out)


def _convolution(nodes: _Nodes, layer: Layer, value: str, out: str) -> None:
    gather = layer.patches
    image = nodes.reshape(value, (-1, gather.channels, gather.height, gather.width), "image")
    tensors = [tensor.name for tensor in layer.tensors]
    kernel = nodes.reshape(tensors[0], (layer.out_features, gather.channels, *gather.kernel), "kernel")
    made = nodes.add(
        "Conv", [image, kernel, *tensors[1:]], "convolution", strides=gather.stride, pads=gather.padding * 2
    )
    nodes.reshape(made, (-1, layer.n_outputs), "affine_row", out)


def _patches(nodes: _Nodes, layer: Layer, value: str, out: str, product: Callable) -> None:
    beyond = nodes.add("Pad", [value, nodes.constant(np.array([0, 0, 0, 1]), "one_more")], "with_border")
    patches = nodes.add("Gather", [beyond, nodes.constant(layer.patches.table, "table")], "patches", axis=1)
    rows = nodes.reshape(patches, (-1, layer.in_features), "patch_rows")
    nodes.made.append(product(layer, rows, f"{nodes.prefix}.row_outputs"))
    made = nodes.reshape(
        f"{nodes.prefix}.row_outputs", (-1, layer.positions, layer.out_features), "outputs_by_position"
    )
    made = nodes.add("Transpose", [made], "outputs_by_feature", perm=[0, 2, 1])
    nodes.reshape(made, (-1, layer.n_outputs), "affine_row", out)


def _tokens(nodes: _Nodes, layer: Layer, value: str, out: str, product: Callable) -> None:
    known = np.arange(layer.in_features, dtype=np.float32)
    if layer.tokens.padding is not None:
        known[layer.tokens.padding] = -1  # no token's number
    column = nodes.reshape(value, (-1, layer.positions, 1), "column")
    is_token = nodes.add("Equal", [column, nodes.constant(known, "known")], "is_token")
    units = nodes.add("Cast", [is_token], "units", to=1)
    if layer.tokens.combine == Combine.each:
        rows = nodes.reshape(units, (-1, layer.in_features), "unit_rows")
        nodes.made.append(product(layer, rows, f"{nodes.prefix}.row_outputs"))
        nodes.reshape(f"{nodes.prefix}.row_outputs", (-1, layer.n_outputs), "affine_row", out)
        return
    counts = nodes.add("ReduceSum", [units, nodes.constant(np.array([1]), "token_axis")], "counts", keepdims=0)
    if layer.tokens.combine == Combine.mean:
        axis = nodes.constant(np.array([1]), "known_axis")
        total = nodes.add("ReduceSum", [counts, axis], "total", keepdims=1)
        total = nodes.add("Max", [total, nodes.constant(np.ones(1, np.float32), "at_least_one")], "divisor")
        counts = nodes.add("Div", [counts, total], "shares")
    nodes.made.append(product(layer, counts, out))
