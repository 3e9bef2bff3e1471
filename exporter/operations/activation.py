# SPDX-License-Identifier: MIT
"""An activation of every number of an array."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import Activation, NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Activate(Operation):
    """The `slope` is that of leaky_relu where its argument is negative."""

    CODE = NodeOperation.activation
    RECORD_NAME = "activation_attributes"

    activation: Activation
    numbers: int = 0  # stands in the array's record
    slope: float = 0.0

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.numbers,)

    @property
    def n_outputs(self) -> int:
        return self.numbers

    @property
    def inconsistency(self) -> str:
        if self.activation != Activation.leaky_relu and self.slope:
            return f"a slope of {self.activation.name}"
        return "" if 0 <= self.slope < 1 else f"slope {self.slope}; 0 to 1 is supported"

    @classmethod
    def from_record(cls, record, numbers):
        return cls(Activation(record.activation), numbers, record.slope)
