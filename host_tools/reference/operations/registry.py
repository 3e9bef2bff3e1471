# SPDX-License-Identifier: MIT
"""The twin of every operation, by its code."""

from types import ModuleType

from ttzo.device_runtime.contract import NodeOperation
from ttzo.host_tools.reference.operations import (
    activation,
    affine,
    broadcast,
    concat,
    global_pooling,
    learnt_array,
    matrix_product,
    norm,
    pooling,
    recurrent,
    scale,
    slice,
    soft_max,
    transpose,
)

TWINS: dict[NodeOperation, ModuleType] = {
    NodeOperation.affine: affine,
    NodeOperation.activation: activation,
    NodeOperation.scale: scale,
    NodeOperation.learnt_array: learnt_array,
    NodeOperation.add: broadcast,
    NodeOperation.multiply: broadcast,
    NodeOperation.concat: concat,
    NodeOperation.slice: slice,
    NodeOperation.transpose: transpose,
    NodeOperation.max_pool: pooling,
    NodeOperation.average_pool: pooling,
    NodeOperation.global_mean: global_pooling,
    NodeOperation.global_max: global_pooling,
    NodeOperation.soft_max: soft_max,
    NodeOperation.layer_norm: norm,
    NodeOperation.rms_norm: norm,
    NodeOperation.matrix_product: matrix_product,
    NodeOperation.recurrent: recurrent,
}
