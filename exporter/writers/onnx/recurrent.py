# SPDX-License-Identifier: MIT
"""RNN, GRU and LSTM; their rows stand in another order than torch's."""

from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Cell
from ttzo.exporter.operations.recurrent import Recurrent
from ttzo.exporter.writers.onnx.nodes import Nodes

OPERATORS = {Cell.tanh: "RNN", Cell.gru: "GRU", Cell.lstm: "LSTM"}
ROWS = {Cell.tanh: (0,), Cell.gru: (1, 0, 2), Cell.lstm: (0, 3, 1, 2)}  # ONNX: z r n, and i o f g


def write(nodes: Nodes, operation: Recurrent, tensors: list[str], inputs: list[str]) -> str:
    cell, hidden = Cell(operation.cell), operation.hidden
    order = np.concatenate([np.arange(hidden) + gate * hidden for gate in ROWS[cell]])
    moved = tensors
    if cell != Cell.tanh:
        rows = nodes.constant(order, "rows")
        moved = [nodes.plain("Gather", [tensor, rows], axis=0) for tensor in tensors]
    weights = [nodes.reshaped(weight, (1, *shape)) for weight, shape in zip(moved[:2], _shapes(operation), strict=True)]
    if operation.has_bias:
        weights.append(nodes.reshaped(nodes.plain("Concat", moved[2:], axis=0), (1, 2 * operation.rows)))
    x = nodes.view(inputs[0], (operation.steps, operation.in_features))
    steps = nodes.plain("Transpose", [x], "steps_first", perm=[1, 0, 2])
    more: dict[str, Any] = {"linear_before_reset": 1} if cell == Cell.gru else {}
    made = nodes.plain(
        OPERATORS[cell],
        [steps, *weights],
        hidden_size=hidden,
        direction="reverse" if operation.reverse else "forward",
        **more,
    )  # [steps, 1, batch, hidden]
    if not operation.last:
        rows_first = nodes.plain("Transpose", [made], "rows_first", perm=[2, 0, 1, 3])
        return nodes.add("Squeeze", [rows_first, nodes.constant(np.array([2]))], (operation.steps, hidden))
    at = nodes.constant(np.array(0 if operation.reverse else operation.steps - 1))
    last = nodes.plain("Gather", [made, at], axis=0)
    return nodes.add("Squeeze", [last, nodes.constant(np.array([0]))], (hidden,))


def _shapes(operation: Recurrent) -> list[tuple[int, int]]:
    return [(operation.rows, operation.in_features), (operation.rows, operation.hidden)]
