# SPDX-License-Identifier: MIT
"""The graph of a plan without a network: its parameters are the unknown constants of a simulation."""

from dataclasses import dataclass
from functools import cached_property

from ttzo.exporter.operations.layer import Layer, Tensor
from ttzo.exporter.plan.graph import Array, Graph


@dataclass(frozen=True)
class Unknowns(Graph):
    """No node; `names` are those of the constants."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: tuple[str, ...], n_in: int, n_out: int) -> "Unknowns":
        """Of so many numbers in a row of the log before and among the measured ones."""
        return cls((), (Array((n_in,)), Array((n_out,))), names)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return ()

    @cached_property
    def why_no_chain(self) -> str:
        return "it is a simulation"

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(Tensor(name, (1,), at) for at, name in enumerate(self.names))

    @property
    def scratch(self) -> int:
        return 0

    def _inconsistency(self) -> str:
        return ""
