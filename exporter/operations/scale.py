# SPDX-License-Identifier: MIT
"""weight x + bias with one weight and bias for each channel: normalised inputs, frozen batch norm, plain factors."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Scale(Operation):
    """The array is [outer][channels][inner]."""

    CODE = NodeOperation.scale
    RECORD_NAME = "scale_attributes"

    outer: int
    channels: int
    inner: int = 1
    has_weight: int = 1
    has_bias: int = 1

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.n_outputs,)

    @property
    def n_outputs(self) -> int:
        return self.outer * self.channels * self.inner

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        present = {"weight": self.has_weight, "bias": self.has_bias}
        return {name: (self.channels,) for name, there in present.items() if there}

    @property
    def macs(self) -> int:
        return self.n_outputs

    @property
    def inconsistency(self) -> str:
        return "" if self.has_weight or self.has_bias else "neither a weight nor a bias"
