# SPDX-License-Identifier: MIT
"""An array of parameters that no input changes, as learnt positions."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class LearntArray(Operation):
    CODE = NodeOperation.learnt_array

    numbers: int

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return ()

    @property
    def n_outputs(self) -> int:
        return self.numbers

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"array": (self.numbers,)}

    @classmethod
    def from_record(cls, record, numbers):
        return cls(numbers)
