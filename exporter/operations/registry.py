# SPDX-License-Identifier: MIT
"""All operations by their code."""

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.broadcast import Add, Multiply
from ttzo.exporter.operations.concat import Concat
from ttzo.exporter.operations.global_pooling import GlobalMax, GlobalMean
from ttzo.exporter.operations.learnt_array import LearntArray
from ttzo.exporter.operations.matrix_product import MatrixProduct
from ttzo.exporter.operations.norm import LayerNorm, RmsNorm
from ttzo.exporter.operations.operation import Operation
from ttzo.exporter.operations.pooling import AveragePool, MaxPool
from ttzo.exporter.operations.recurrent import Recurrent
from ttzo.exporter.operations.scale import Scale
from ttzo.exporter.operations.slice import Slice
from ttzo.exporter.operations.soft_max import SoftMax
from ttzo.exporter.operations.transpose import Transpose

OPERATIONS: dict[NodeOperation, type[Operation]] = {
    kind.CODE: kind
    for kind in (
        Affine,
        Activate,
        Scale,
        LearntArray,
        Add,
        Multiply,
        Concat,
        Slice,
        Transpose,
        MaxPool,
        AveragePool,
        GlobalMean,
        GlobalMax,
        SoftMax,
        LayerNorm,
        RmsNorm,
        MatrixProduct,
        Recurrent,
    )
}
