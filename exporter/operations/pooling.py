# SPDX-License-Identifier: MIT
"""The largest number or the mean of each window of an image, channel by channel."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Pool(Operation):
    """The array is [channels][height][width]. Padding lies beyond the border: no maximum looks at it, and a mean counts it
    as zeros with `count_padding`, not at all without."""

    RECORD_NAME = "pool_attributes"

    channels: int
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    stride_height: int
    stride_width: int
    padding_top: int = 0
    padding_left: int = 0
    padding_bottom: int = 0
    padding_right: int = 0
    count_padding: int = 0

    @property
    def out_height(self) -> int:
        return (self.height + self.padding_top + self.padding_bottom - self.kernel_height) // self.stride_height + 1

    @property
    def out_width(self) -> int:
        return (self.width + self.padding_left + self.padding_right - self.kernel_width) // self.stride_width + 1

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.channels * self.height * self.width,)

    @property
    def n_outputs(self) -> int:
        return self.channels * self.out_height * self.out_width

    @property
    def inconsistency(self) -> str:
        steps = (self.kernel_height, self.kernel_width, self.stride_height, self.stride_width)
        if min(*steps, self.channels, self.height, self.width) < 1 or max(steps) > 255:
            return f"windows of {steps[:2]} in steps of {steps[2:]}; 1 to 255 are supported"
        if max(self.padding_top, self.padding_bottom) >= self.kernel_height:
            return f"padding {self.padding_top}, {self.padding_bottom} of windows of {self.kernel_height} rows"
        if max(self.padding_left, self.padding_right) >= self.kernel_width:
            return f"padding {self.padding_left}, {self.padding_right} of windows of {self.kernel_width} columns"
        if min(self.out_height, self.out_width) < 1:
            return f"windows {steps[:2]} that are larger than the padded image"
        return ""


class MaxPool(Pool):
    CODE = NodeOperation.max_pool

    @property
    def inconsistency(self) -> str:
        return "a maximum counts no padding" if self.count_padding else super().inconsistency


class AveragePool(Pool):
    CODE = NodeOperation.average_pool
