# SPDX-License-Identifier: MIT
"""The mean or the largest number along an axis."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import AlongAxis


@dataclass(frozen=True)
class _Reduced(AlongAxis):
    RECORD_NAME = "axis_attributes"

    @property
    def n_outputs(self) -> int:
        return self.outer * self.inner


class GlobalMean(_Reduced):
    CODE = NodeOperation.global_mean


class GlobalMax(_Reduced):
    CODE = NodeOperation.global_max
