# SPDX-License-Identifier: MIT
"""What every operation of a graph tells the rest of the exporter."""

import dataclasses
import math
from typing import ClassVar, Self

from ttzo.device_runtime.contract import RECORD, NodeOperation, Record


@dataclasses.dataclass(frozen=True)
class Operation:
    """The attributes of one node. The fields of a subclass are those of its record in the contract.

    Arrays are flat, in C order, and of one row: `n_outputs` numbers from inputs of `n_inputs` numbers each.
    """

    CODE: ClassVar[NodeOperation]
    RECORD_NAME: ClassVar[str] = ""  # of the attributes; "" where there are none

    @property
    def n_inputs(self) -> tuple[int, ...]:
        """Numbers of each array that it reads."""
        raise NotImplementedError

    @property
    def n_outputs(self) -> int:
        """Numbers of the array that it writes."""
        raise NotImplementedError

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of its parameters by name, in the order in which they lie in theta."""
        return {}

    @property
    def n_parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.parameter_shapes.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one row."""
        return 0

    @property
    def scratch(self) -> int:
        """Floats that a forward pass of one row needs besides its arrays."""
        return 0

    @property
    def inconsistency(self) -> str:
        """What no device could run, or nothing. Sizes of arrays and parameters are checked by the graph."""
        return ""

    def record(self) -> Record | None:
        """The attributes as the bundle holds them."""
        if not self.RECORD_NAME:
            return None
        kind = RECORD[self.RECORD_NAME]
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return kind(**{name: known.get(name, b"" if form.startswith("u8[") else 0) for form, name in kind.FIELDS})

    @classmethod
    def from_record(cls, record: Record | None, numbers: int) -> Self:
        """The inverse of `record`, for a node whose output has `numbers` numbers."""
        if record is None:
            return cls()
        values = {}
        for field in dataclasses.fields(cls):
            value = getattr(record, field.name)
            values[field.name] = tuple(value) if isinstance(value, bytes) else value
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class AlongAxis(Operation):
    """An operation on the middle axis of an array [outer][size][inner]."""

    outer: int
    size: int
    inner: int = 1

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.outer * self.size * self.inner,)
