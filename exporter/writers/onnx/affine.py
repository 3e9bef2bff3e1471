# SPDX-License-Identifier: MIT
"""Layers: Gemm, Conv, or the functions of tensor trains."""

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches, Places
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.writers.onnx.gathered_affine import gathered_affine
from ttzo.exporter.writers.onnx.nodes import Nodes
from ttzo.exporter.writers.onnx.onnx_nodes import DOMAIN, OPERATORS, NodeProto, function_name, helper


def write(nodes: Nodes, operation: Affine, tensors: list[str], inputs: list[str]) -> str:
    layer = operation.layer
    if isinstance(layer.gather, Patches) and layer.kind == LayerKind.dense:
        made = _convolution(nodes, layer, tensors, inputs[0])
    elif layer.gather is None or isinstance(layer.gather, Places):
        made = _places(nodes, layer, tensors, inputs[0])
    else:
        made = f"{layer.name}.row"
        row = nodes.view(inputs[0], (layer.n_inputs,))
        nodes.made += gathered_affine(layer, row, made, lambda layer, rows, out: _product(layer, tensors, rows, out))
        nodes.shape_of[made] = (layer.n_outputs,)
    if layer.activation == Activation.identity:
        return made
    return nodes.add(OPERATORS[layer.activation], [made], nodes.shape_of[made], "activation")


def _product(layer: Layer, tensors: list[str], rows: str, out: str) -> NodeProto:
    """One application for each row."""
    if layer.kind == LayerKind.dense:
        return helper.make_node("Gemm", [rows, *tensors], [out], layer.name, transB=1)
    return helper.make_node(function_name(layer), [rows, *tensors], [out], layer.name, domain=DOMAIN)


def _places(nodes: Nodes, layer: Layer, tensors: list[str], x: str) -> str:
    rows = nodes.view(x, (layer.in_features,)) if layer.gather is None else nodes.plain(
        "Reshape", [x, nodes.constant(_shape(-1, layer.in_features), "shape")], "rows"
    )  # fmt: skip
    out = f"{layer.name}.affine"
    nodes.made.append(_product(layer, tensors, rows, out))
    nodes.shape_of[out] = (layer.out_features,)
    if layer.gather is None:
        return out
    shape = (layer.positions, layer.out_features)
    return nodes.add("Reshape", [out, nodes.constant(_shape(-1, *shape), "shape")], shape, "places")


def _shape(*sizes: int) -> np.ndarray:
    return np.array(sizes, np.int64)


def _convolution(nodes: Nodes, layer: Layer, tensors: list[str], x: str) -> str:
    gather = layer.patches
    image = nodes.view(x, (gather.channels, gather.height, gather.width))
    kernel = nodes.reshaped(tensors[0], (layer.out_features, gather.channels // gather.groups, *gather.kernel))
    return nodes.add(
        "Conv",
        [image, kernel, *tensors[1:]],
        (layer.out_features, *gather.out_image),
        "convolution",
        strides=gather.stride,
        pads=gather.borders,
        dilations=gather.dilation,
        group=gather.groups,
    )
