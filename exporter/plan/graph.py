# SPDX-License-Identifier: MIT
"""A model as a graph: nodes in topological order, the arrays between them, and where everything lies.

A graph whose nodes are layers, each reading the one before, is a chain: `Graph.layers`. Bundles hold a chain as its layer
records, and devices run it as they always did; every other graph is held as nodes. See also `builder.py`, which readers
build graphs with.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ttzo.device_runtime.contract import LIMIT, LayerKind, NodeFlag, NodeOperation
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Tokens
from ttzo.exporter.operations.layer import Layer, PlanError, Tensor
from ttzo.exporter.operations.operation import Operation


@dataclass(frozen=True)
class Array:
    """An array of one row. Devices know its `numbers` alone; the shape is for people and writers."""

    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Node:
    """One operation: the arrays that it reads and the one that it writes, by number, and where its parameters begin.

    `parameters`: index of the first one in theta; of a `frozen` node, of its first byte in the constants, divided by 4.
    `shared`: they are those of an earlier node, its owner. `int8`: of a frozen node, matrices are 8-bit integers.
    """

    name: str
    operation: Operation
    inputs: tuple[int, ...]
    output: int
    parameters: int = 0
    frozen: bool = False
    int8: bool = False
    shared: bool = False

    @property
    def flags(self) -> int:
        given = {NodeFlag.frozen: self.frozen, NodeFlag.int8: self.int8, NodeFlag.shared: self.shared}
        return sum(flag for flag, there in given.items() if there)

    @property
    def layer(self) -> Layer:
        """The layer of an affine node. Raises `PlanError` for other operations."""
        if not isinstance(self.operation, Affine):
            raise PlanError(f"node {self.name} is no layer", "")
        return self.operation.layer

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Its parameters as slices of theta, or, frozen, of its constants once they are all float32."""
        made, at = [], 0 if self.frozen else self.parameters
        for name, shape in self.operation.parameter_shapes.items():
            made.append(Tensor(f"{self.name}.{name}", shape, at))
            at += math.prod(shape)
        return tuple(made)

    @property
    def scratch(self) -> int:
        """Floats that its forward pass needs besides its arrays, int8 parameters as float32 among them: of a layer some
        rows, of others, and of embeddings, all."""
        if not self.int8:
            return self.operation.scratch
        layer = self.operation.layer if isinstance(self.operation, Affine) else None
        if layer and layer.kind == LayerKind.dense and not isinstance(layer.gather, Tokens):
            return self.operation.scratch + LIMIT["int8_rows"] * (layer.in_features + 1)
        return self.operation.scratch + self.operation.n_parameters

    @property
    def constant_bytes(self) -> int:
        """Bytes of a frozen node's parameters; 0 where they are trained or another node's."""
        if not self.frozen or self.shared:
            return 0
        sizes = [is_int8(self, shape) for shape in self.operation.parameter_shapes.values()]
        shapes = self.operation.parameter_shapes.values()
        return sum(
            4 * shape[0] + 4 * math.ceil(math.prod(shape) / 4) if narrow else 4 * math.prod(shape)
            for narrow, shape in zip(sizes, shapes, strict=True)
        )


def holds_matrix(node: Node) -> bool:
    """Whether a node has parameters that can be 8-bit integers."""
    return any(len(shape) == 2 for shape in node.operation.parameter_shapes.values())


def is_int8(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of a frozen node is held as 8-bit integers: a matrix, with a scale for each row."""
    return node.int8 and len(shape) == 2


@dataclass(frozen=True)
class Graph:
    """Array 0 is the network's input; the last node writes its output."""

    nodes: tuple[Node, ...]
    arrays: tuple[Array, ...]

    def __post_init__(self):
        wrong = self._inconsistency()
        if wrong:
            raise PlanError(wrong, "see `ttzo export --help`")

    @classmethod
    def of_layers(cls, layers: Iterable[Layer]) -> "Graph":
        """The chain of these layers. Raises `PlanError` where one does not fit the one before."""
        layers = tuple(layers)
        if not layers:
            raise PlanError("0 layers; at least one is needed", "see `ttzo export --help`")
        for before, layer in zip(layers, layers[1:], strict=False):
            if before.n_outputs != layer.n_inputs:
                wanted = f"layer {layer.name} needs {layer.n_inputs} inputs, layer {before.name} has {before.n_outputs} outputs"
                raise PlanError(wanted, "see `ttzo export --help`")
        nodes = [
            Node(layer.name, Affine(layer), (index,), index + 1, layer.parameter_offset)
            for index, layer in enumerate(layers)
        ]
        return cls(tuple(nodes), tuple(Array((n,)) for n in (layers[0].n_inputs, *(each.n_outputs for each in layers))))

    # ---- what it is made of

    @cached_property
    def layers(self) -> tuple[Layer, ...] | None:
        """The layers where the graph is a chain that the rooms of chains run; else None."""
        return None if self.why_no_chain else self._layers_of_nodes

    @property
    def _layers_of_nodes(self) -> tuple[Layer, ...]:
        return tuple(node.operation.layer for node in self.nodes if isinstance(node.operation, Affine))

    @cached_property
    def why_no_chain(self) -> str:
        """The first thing that makes it more than a chain of layers; "" for a chain."""
        for index, node in enumerate(self.nodes):
            if not isinstance(node.operation, Affine):
                return f"{node.name} is a node of operation {node.operation.CODE.name}"
            if node.frozen or node.shared:
                return f"the parameters of {node.name} are {'frozen' if node.frozen else 'shared'}"
            if not node.operation.can_stand_in_chain:
                return f"{node.name} is applied to places, in groups, with dilation or an uneven border"
            if (node.inputs, node.output) != ((index,), index + 1):
                return f"{node.name} does not read the layer before it alone"
        return ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The slices of theta, in order."""
        owners = [node for node in self.nodes if not node.frozen and not node.shared]
        return tuple(tensor for node in owners for tensor in node.tensors)

    @property
    def n_parameters(self) -> int:
        return sum(tensor.size for tensor in self.tensors)

    @property
    def constant_bytes(self) -> int:
        return sum(node.constant_bytes for node in self.nodes)

    @property
    def macs(self) -> int:
        return sum(node.operation.macs for node in self.nodes)

    @property
    def scratch(self) -> int:
        """Floats that the hungriest node needs besides the arrays."""
        return max(node.scratch for node in self.nodes)

    @property
    def n_tokens(self) -> int:
        """How many tokens there are; 0 where inputs are plain numbers."""
        known = [layer.in_features for layer in self._layers_of_nodes if isinstance(layer.gather, Tokens)]
        return min(known, default=0)

    # ---- where the arrays lie

    @cached_property
    def lifetimes(self) -> tuple[tuple[int, int], ...]:
        """Of each array: the node that writes it (-1 for the input) and the last one that reads it (the network's output:
        one more than there are)."""
        first = {0: -1} | {node.output: index for index, node in enumerate(self.nodes)}
        last = {array: index for index, node in enumerate(self.nodes) for array in node.inputs}
        last[self.nodes[-1].output] = len(self.nodes)
        return tuple((first[array], last[array]) for array in range(len(self.arrays)))

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Where each array begins in the arena, in floats, at an even number: the largest first, each as low as it goes
        beside those that are wanted at the same time."""
        placed: dict[int, int] = {}
        for array in sorted(range(len(self.arrays)), key=lambda a: (-self.arrays[a].numbers, a)):
            at, size = 0, self.arrays[array].numbers
            beside = [(placed[b], placed[b] + self.arrays[b].numbers) for b in placed if self._together(array, b)]
            for begin, end in sorted(beside):
                if begin < at + size and at < end:
                    at = end + end % 2
            placed[array] = at
        return tuple(placed[array] for array in range(len(self.arrays)))

    def _together(self, a: int, b: int) -> bool:
        (first_a, last_a), (first_b, last_b) = self.lifetimes[a], self.lifetimes[b]
        return first_a <= last_b and first_b <= last_a

    @property
    def arena(self) -> int:
        """Floats in which the arrays of one row's forward pass lie."""
        return max(place + array.numbers for place, array in zip(self.places, self.arrays, strict=True))

    # ---- checks

    def _inconsistency(self) -> str:
        if not 1 <= len(self.nodes) <= LIMIT["max_nodes"]:
            return f"{len(self.nodes)} nodes; 1 to {LIMIT['max_nodes']} are supported"
        written = {0}
        for node in self.nodes:
            if not set(node.inputs) <= written:
                return f"node {node.name} reads an array before it is written"
            if node.output in written or not node.output < len(self.arrays):
                return f"node {node.name} writes array {node.output} again, or none that there is"
            written.add(node.output)
            wrong = self._node_inconsistency(node)
            if wrong:
                return f"node {node.name}: {wrong}"
        if len(written) != len(self.arrays):
            return "an array that no node writes"
        read = {array for node in self.nodes for array in node.inputs} | {self.nodes[-1].output}
        unread = [node.name for node in self.nodes if node.output not in read]
        if unread or 0 not in read:
            return f"nothing reads {unread[0] if unread else 'the input'}"
        return self._parameter_inconsistency()

    def _node_inconsistency(self, node: Node) -> str:
        operation, found = node.operation, tuple(self.arrays[array].numbers for array in node.inputs)
        if operation.inconsistency:
            return operation.inconsistency
        if found != operation.n_inputs:
            return f"needs inputs of {operation.n_inputs} numbers, but there are {found}"
        if self.arrays[node.output].numbers != operation.n_outputs:
            return f"makes {operation.n_outputs} numbers, its array has {self.arrays[node.output].numbers}"
        if not 1 <= operation.n_outputs <= LIMIT["max_features"]:
            return f"makes {operation.n_outputs} numbers; 1 to {LIMIT['max_features']} are supported"
        if _reads_tokens(node) and node.inputs != (0,):
            return "takes numbers of tokens, which are a network's inputs"
        if node.int8 and not node.frozen:
            return "trained parameters are float32"
        return "parameters for an operation that has none" if node.flags and not operation.n_parameters else ""

    def _parameter_inconsistency(self) -> str:
        at = {False: 0, True: 0}  # in theta, and in the constants
        owners: dict[tuple[bool, int], Node] = {}
        for node in self.nodes:
            if not node.operation.n_parameters:
                continue
            owner = owners.get((node.frozen, node.parameters))
            if node.shared:
                if owner is None or _shapes(owner) != _shapes(node) or owner.int8 != node.int8:
                    return f"node {node.name} shares parameters that no earlier node has in these shapes"
            elif node.parameters != at[node.frozen]:
                return f"node {node.name} begins at parameter {node.parameters} instead of {at[node.frozen]}"
            else:
                owners[node.frozen, node.parameters] = node
                at[node.frozen] += node.constant_bytes // 4 if node.frozen else node.operation.n_parameters
            if isinstance(node.operation, Affine) and node.operation.layer.parameter_offset != node.parameters:
                return f"node {node.name} and its layer begin at different parameters"
        return ""


def _shapes(node: Node) -> tuple[NodeOperation, list[tuple[int, ...]]]:
    return node.operation.CODE, list(node.operation.parameter_shapes.values())


def _reads_tokens(node: Node) -> bool:
    return isinstance(node.operation, Affine) and isinstance(node.operation.layer.gather, Tokens)
