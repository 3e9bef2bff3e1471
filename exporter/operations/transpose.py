# SPDX-License-Identifier: MIT
"""Axes in another order, up to four of them."""

import math
from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Transpose(Operation):
    """Axis i of the output is axis `axes[i]` of the input, whose axes have `sizes`."""

    CODE = NodeOperation.transpose
    RECORD_NAME = "transpose_attributes"

    sizes: tuple[int, int, int, int]
    axes: tuple[int, int, int, int]

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.n_outputs,)

    @property
    def n_outputs(self) -> int:
        return math.prod(self.sizes)

    @property
    def inconsistency(self) -> str:
        return "" if sorted(self.axes) == [0, 1, 2, 3] else f"axes {self.axes} are no order of 0 to 3"
