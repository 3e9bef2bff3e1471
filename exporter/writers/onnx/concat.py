# SPDX-License-Identifier: MIT
"""Concat of two or three arrays."""

from ttzo.exporter.operations.concat import Concat
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: Concat, tensors: list[str], inputs: list[str]) -> str:
    parts = [nodes.view(x, (operation.outer, size)) for x, size in zip(inputs, operation.sizes, strict=True)]
    return nodes.add("Concat", parts, (operation.outer, sum(operation.sizes)), axis=2)
