# SPDX-License-Identifier: MIT
"""Sums, differences and products of two arrays; the second may be repeated along outer and inner axes of the first."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Broadcast(Operation):
    """The first array is [outer][middle][inner], the second [middle]."""

    RECORD_NAME = "broadcast_attributes"

    outer: int
    middle: int
    inner: int = 1
    minus: int = 0

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return self.n_outputs, self.middle

    @property
    def n_outputs(self) -> int:
        return self.outer * self.middle * self.inner


class Add(Broadcast):
    CODE = NodeOperation.add


class Multiply(Broadcast):
    CODE = NodeOperation.multiply

    @property
    def inconsistency(self) -> str:
        return "a product has no sign of its own" if self.minus else ""
