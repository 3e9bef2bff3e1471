# SPDX-License-Identifier: MIT
"""Layer norm and RMS norm of the last axis."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Norm(Operation):
    """The array is [outer][size]; weight and bias, where there are some, [size]."""

    RECORD_NAME = "norm_attributes"

    outer: int
    size: int
    epsilon: float
    has_weight: int = 1
    has_bias: int = 1

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.n_outputs,)

    @property
    def n_outputs(self) -> int:
        return self.outer * self.size

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        present = {"weight": self.has_weight, "bias": self.has_bias}
        return {name: (self.size,) for name, there in present.items() if there}

    @property
    def macs(self) -> int:
        return 2 * self.n_outputs

    @property
    def inconsistency(self) -> str:
        return "" if 0 < self.epsilon < 1 else f"epsilon {self.epsilon}; more than 0 and less than 1 is supported"


class LayerNorm(Norm):
    CODE = NodeOperation.layer_norm


class RmsNorm(Norm):
    CODE = NodeOperation.rms_norm

    @property
    def inconsistency(self) -> str:
        return "an RMS norm has no bias" if self.has_bias else super().inconsistency
