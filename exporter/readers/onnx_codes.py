# SPDX-License-Identifier: MIT
"""Codes that an ONNX file only checks before it looks them up: of Keras's Embedding, negative ones are counted from the
table's end. A device takes codes from 0 on, so what leaves those as they are is left out."""

from typing import Any

import numpy as np

from ttzo.exporter.readers.rows import Refused, Weights
from ttzo.exporter.writers.onnx.onnx_nodes import onnx

NUMBER_BY_NUMBER = {
    "Add", "And", "Cast", "Clip", "Equal", "Floor", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min",
    "Mod", "Mul", "Not", "Or", "Sub", "Where",
}  # fmt: skip
DEEPEST = 16  # nodes one after another; Keras has 6


def take_codes_as_they_are(graph: Any, entry: "onnx.ValueInfoProto") -> None:
    """Lets every look-up in a table read the input itself where its codes, computed from the input's, are the same for each
    row of the table."""
    for node in graph.graph.node:
        if node.op_type != "Gather" or len(node.input) != 2 or node.input[1] == entry.name:
            continue
        table = graph.constant(node.input[0])
        if (
            isinstance(table, Weights)
            and len(table.shape) == 2
            and _are_kept(graph, node.input[1], entry, table.shape[0])
        ):
            node.input[1] = entry.name
            graph.readers[entry.name].append(node)


def _are_kept(graph: Any, name: str, entry: "onnx.ValueInfoProto", known: int) -> bool:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    if dtype.kind not in "iuf":
        return False
    codes = np.arange(known).astype(dtype)
    made = _evaluated(graph, name, {entry.name: codes}, DEEPEST)
    return made is not None and np.array_equal(made, np.arange(known))


def _evaluated(graph: Any, name: str, made: dict[str, np.ndarray | None], depth: int) -> np.ndarray | None:
    """A value for the codes in `made`; None where other nodes than those `NUMBER_BY_NUMBER` lead to it."""
    if name in made:
        return made[name]
    constant, node = graph.constant(name), graph.makers.get(name)
    if constant is not None:
        values = constant.values if isinstance(constant, Weights) else np.asarray(constant)
        return values.reshape(()) if values.size == 1 else None
    made[name] = None
    if node is None or node.op_type not in NUMBER_BY_NUMBER or depth == 0:
        return None
    inputs = [_evaluated(graph, each, made, depth - 1) for each in node.input]
    if any(value is None for value in inputs):
        return None
    try:
        made[name] = graph.evaluated(node, inputs)[0]
    except Refused:
        return None
    return made[name]
