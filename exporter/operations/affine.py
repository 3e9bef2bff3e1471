# SPDX-License-Identifier: MIT
"""A layer as a node: dense or a tensor train, applied to the whole array, to patches, tokens or places."""

import dataclasses
from dataclasses import dataclass

from ttzo.device_runtime.contract import LayerKind, NodeOperation
from ttzo.exporter.operations.gathering import Patches, Tokens
from ttzo.exporter.operations.layer import Layer, gather_scratch
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Affine(Operation):
    CODE = NodeOperation.affine
    RECORD_NAME = "layer"

    layer: Layer

    @property
    def n_inputs(self) -> tuple[int, ...]:
        return (self.layer.n_inputs,)

    @property
    def n_outputs(self) -> int:
        return self.layer.n_outputs

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {tensor.name.rsplit(".", 1)[1]: tensor.shape for tensor in self.layer.tensors}

    @property
    def macs(self) -> int:
        return self.layer.macs

    @property
    def scratch(self) -> int:
        """The arrays between the cores of a tensor train, or those of the applications side by side."""
        if isinstance(self.layer.gather, Patches | Tokens):
            return gather_scratch(self.group)
        if self.layer.kind == LayerKind.dense:
            return 0
        return 2 * max(repeats * rows * columns for repeats, rows, _, columns in self.layer.contractions)

    @property
    def group(self) -> Layer:
        """The layer, or with groups the first group as a layer of its own."""
        gather = self.layer.gather
        if not isinstance(gather, Patches) or gather.groups == 1:
            return self.layer
        own = dataclasses.replace(gather, channels=gather.channels // gather.groups, groups=1)
        return dataclasses.replace(self.layer, out_features=self.layer.out_features // gather.groups, gather=own)

    @property
    def can_stand_in_chain(self) -> bool:
        """Whether the rooms of chains know it: no places, no groups, no dilation, the same border on both sides."""
        gather = self.layer.gather
        if isinstance(gather, Patches):
            return gather.groups == 1 and gather.dilation == (1, 1) and gather.padding_end == gather.padding
        return gather is None or isinstance(gather, Tokens)
