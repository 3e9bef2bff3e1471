# SPDX-License-Identifier: MIT
"""MatMul of two arrays."""

from ttzo.exporter.operations.matrix_product import MatrixProduct
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: MatrixProduct, tensors: list[str], inputs: list[str]) -> str:
    count, rows, inner, columns = operation.count, operation.rows, operation.inner, operation.columns
    right = nodes.view(inputs[1], (count, columns, inner) if operation.transposed else (count, inner, columns))
    if operation.transposed:
        right = nodes.add("Transpose", [right], (count, inner, columns), perm=[0, 1, 3, 2])
    return nodes.add("MatMul", [nodes.view(inputs[0], (count, rows, inner)), right], (count, rows, columns))
