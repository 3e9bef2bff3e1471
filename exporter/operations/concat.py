# SPDX-License-Identifier: MIT
"""Two or three arrays joined along an axis."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Concat(Operation):
    """Input i is [outer][sizes_i]."""

    CODE = NodeOperation.concat
    RECORD_NAME = "concat_attributes"

    outer: int
    sizes: tuple[int, ...]

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return tuple(self.outer * size for size in self.sizes)

    @property
    def n_outputs(self) -> int:
        return self.outer * sum(self.sizes)

    @property
    def inconsistency(self) -> str:
        return (
            ""
            if 2 <= len(self.sizes) <= 3 and min(self.sizes) > 0
            else f"{len(self.sizes)} arrays; 2 or 3 are supported"
        )

    @classmethod
    def from_record(cls, record, numbers):
        return cls(record.outer, tuple(size for size in record.sizes if size))
