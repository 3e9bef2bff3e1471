# SPDX-License-Identifier: MIT
"""A recurrent cell over the steps of a sequence: tanh, GRU, LSTM."""

from dataclasses import dataclass, replace

from ttzo.device_runtime.contract import Cell, NodeOperation
from ttzo.exporter.operations.operation import Operation

GATES = {Cell.tanh: 1, Cell.gru: 3, Cell.lstm: 4}


@dataclass(frozen=True)
class Recurrent(Operation):
    """The array is [steps][in_features], the output [steps][hidden], or with `last` the last h [hidden]. Parameters as
    torch has them: weight_ih [gates hidden, in], weight_hh [gates hidden, hidden], bias_ih, bias_hh; rows in its order."""

    CODE = NodeOperation.recurrent
    RECORD_NAME = "recurrent_attributes"

    cell: Cell
    steps: int
    in_features: int
    hidden: int
    has_bias: int = 1
    reverse: int = 0
    last: int = 0

    @property
    def rows(self) -> int:
        return GATES[Cell(self.cell)] * self.hidden

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.steps * self.in_features,)

    @property
    def n_outputs(self) -> int:
        return self.hidden if self.last else self.steps * self.hidden

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        made = {"weight_ih": (self.rows, self.in_features), "weight_hh": (self.rows, self.hidden)}
        return made | ({"bias_ih": (self.rows,), "bias_hh": (self.rows,)} if self.has_bias else {})

    @property
    def macs(self) -> int:
        return self.steps * self.rows * (self.in_features + self.hidden)

    @property
    def scratch(self) -> int:
        """Sums of the inputs and of h, h, and what an LSTM remembers."""
        return 2 * self.rows + 2 * self.hidden

    @property
    def inconsistency(self) -> str:
        if min(self.steps, self.in_features, self.hidden) < 1 or max(self.steps, self.in_features, self.hidden) > 65535:
            return f"{self.steps} steps of {self.in_features} numbers, {self.hidden} hidden; 1 to 65535 are supported"
        return ""

    @classmethod
    def from_record(cls, record, numbers):
        made = super().from_record(record, numbers)
        return replace(made, cell=Cell(made.cell))
