# SPDX-License-Identifier: MIT
"""MaxPool and AveragePool."""

from typing import Any

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.pooling import Pool
from ttzo.exporter.writers.onnx.nodes import Nodes


def write(nodes: Nodes, pool: Pool, tensors: list[str], inputs: list[str]) -> str:
    is_max = NodeOperation.max_pool == pool.CODE
    more: dict[str, Any] = {} if is_max else {"count_include_pad": pool.count_padding}
    return nodes.add(
        "MaxPool" if is_max else "AveragePool",
        [nodes.view(inputs[0], (pool.channels, pool.height, pool.width))],
        (pool.channels, pool.out_height, pool.out_width),
        kernel_shape=(pool.kernel_height, pool.kernel_width),
        strides=(pool.stride_height, pool.stride_width),
        pads=(pool.padding_top, pool.padding_left, pool.padding_bottom, pool.padding_right),
        **more,
    )
