# SPDX-License-Identifier: MIT
"""An array of parameters, repeated for every row of the batch."""

import numpy as np

from ttzo.exporter.operations.learnt_array import LearntArray
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, operation: LearntArray, tensors: list[str], inputs: list[str]) -> str:
    batch = nodes.plain("Shape", [nodes.rows], end=1)
    shape = nodes.plain("Concat", [batch, nodes.constant(np.array([operation.numbers], np.int64))], axis=0)
    return nodes.add("Expand", [tensors[0], shape], (operation.numbers,))
