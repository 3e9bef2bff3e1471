# SPDX-License-Identifier: MIT
"""exp(x) over its sum along an axis."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import AlongAxis


@dataclass(frozen=True)
class SoftMax(AlongAxis):
    """`causal`: entry j counts in row i alone if j <= i, where i is the outer index modulo size; the others become 0."""

    CODE = NodeOperation.soft_max
    RECORD_NAME = "soft_max_attributes"

    causal: int = 0

    @property
    def n_outputs(self) -> int:
        return self.n_inputs[0]

    @property
    def inconsistency(self) -> str:
        if self.size < 1:
            return "a sum of no numbers"
        if self.causal and (self.inner != 1 or self.outer % self.size):
            return "a causal mask needs square matrices of scores, the axis last"
        return ""
