# SPDX-License-Identifier: MIT
"""Slice of an axis."""

import numpy as np

from ttzo.exporter.operations.slice import Slice
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: Slice, tensors: list[str], inputs: list[str]) -> str:
    end = operation.first + (operation.count - 1) * operation.step + 1
    given = [nodes.constant(np.array([number], np.int64)) for number in (operation.first, end, 2, operation.step)]
    x = nodes.view(inputs[0], (operation.outer, operation.size, operation.inner))
    return nodes.add("Slice", [x, *given], (operation.outer, operation.count, operation.inner))
