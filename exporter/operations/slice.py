# SPDX-License-Identifier: MIT
"""Every step-th of some entries of an axis."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import AlongAxis


@dataclass(frozen=True)
class Slice(AlongAxis):
    """Entries first, first + step, ... of the axis, `count` of them."""

    CODE = NodeOperation.slice
    RECORD_NAME = "slice_attributes"

    first: int = 0
    count: int = 1
    step: int = 1

    @property
    def n_outputs(self) -> int:
        return self.outer * self.count * self.inner

    @property
    def inconsistency(self) -> str:
        inside = self.first >= 0 and self.count > 0 and self.step > 0
        if inside and self.first + (self.count - 1) * self.step < self.size:
            return ""
        return f"{self.count} entries from {self.first} in steps of {self.step}, there are {self.size}"
