# SPDX-License-Identifier: MIT
"""The nodes of a graph while they are written, and the shape that each value has there."""

import math
from collections.abc import Sequence

import numpy as np

from ttzo.exporter.writers.onnx.onnx_nodes import NodeProto, helper, numpy_helper


class Nodes:
    """Nodes in order. The first axis of every value is the batch; `shape_of` gives the others. `prefix` is the name of
    the node under way, which all values that it makes begin with."""

    def __init__(self, inputs: dict[str, tuple[int, ...]]):
        self.made: list[NodeProto] = []
        self.shape_of = dict(inputs)
        self.prefix = ""
        self.rows = "x"  # a value with the batch as its first axis
        self._count = 0

    def begin(self, name: str) -> None:
        self.prefix, self._count = name, 0

    def plain(self, operator: str, inputs: Sequence[str], what: str = "", **attributes) -> str:
        """A node whose result has no batch axis, or one that the caller knows."""
        self._count += 1
        out = f"{self.prefix}.{what or operator.lower()}_{self._count}"
        self.made.append(helper.make_node(operator, list(inputs), [out], out, **attributes))
        return out

    def add(self, operator: str, inputs: Sequence[str], shape: Sequence[int], what: str = "", **attributes) -> str:
        """A node whose result has this shape after the batch."""
        out = self.plain(operator, inputs, what, **attributes)
        self.shape_of[out] = tuple(shape)
        return out

    def constant(self, values: np.ndarray | np.float32, what: str = "constant") -> str:
        return self.plain("Constant", [], what, value=numpy_helper.from_array(np.asarray(values)))

    def reshaped(self, value: str, shape: Sequence[int]) -> str:
        """A parameter or constant, without a batch, in another shape."""
        return self.plain("Reshape", [value, self.constant(np.array(shape, np.int64), "shape")])

    def view(self, value: str, shape: Sequence[int]) -> str:
        """The value in this shape after the batch."""
        shape = tuple(shape)
        if self.shape_of[value] == shape:
            return value
        assert math.prod(self.shape_of[value]) == math.prod(shape)
        out = self.plain("Reshape", [value, self.constant(np.array((-1, *shape), np.int64), "shape")])
        self.shape_of[out] = shape
        return out
