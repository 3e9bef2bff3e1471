# SPDX-License-Identifier: MIT
"""Products of two arrays of matrices, as attention scores."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import NodeOperation
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class MatrixProduct(Operation):
    """[count][rows][inner] times [count][inner][columns], or, `transposed`, [count][columns][inner]."""

    CODE = NodeOperation.matrix_product
    RECORD_NAME = "product_attributes"

    count: int
    rows: int
    inner: int
    columns: int
    transposed: int = 0

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return self.count * self.rows * self.inner, self.count * self.inner * self.columns

    @property
    def n_outputs(self) -> int:
        return self.count * self.rows * self.columns

    @property
    def macs(self) -> int:
        return self.n_outputs * self.inner
