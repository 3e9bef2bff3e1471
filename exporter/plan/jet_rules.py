# SPDX-License-Identifier: MIT
"""Which graphs an equation's derivatives pass, and which of its parameters coordinate_gn asks there."""

from ttzo.device_runtime.contract import Activation, Derivative, Estimator, LayerKind
from ttzo.device_runtime.contract.page import PAGE
from ttzo.exporter.operations.activation import Activate
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.pde.program import JETS, Pde
from ttzo.exporter.plan.graph import Graph, Node
from ttzo.exporter.plan.training import Training

SMOOTH = frozenset({Activation.tanh, Activation.sine, Activation.sigmoid, Activation.silu, Activation.gelu})


def why_no_jets(graph: Graph) -> str:
    """The first node that jets do not pass, in words; "" where they pass all."""
    for node in graph.nodes:
        if node.operation.CODE.name not in PAGE["node_jet"]:
            return f"{node.name} is a node of operation {node.operation.CODE.name}, which has no rule for derivatives"
        activation = activation_of(node)
        if activation not in (*SMOOTH, Activation.identity):
            return f"{node.name} ends in {activation.name}, which has no second derivative to train by"
    return ""


def why_no_derivatives(graph: Graph, pde: Pde) -> str:
    """Why an equation is not trained through a graph that is no chain of layers, in words."""
    if pde.derivative == Derivative.compensated_jet:
        return f"compensated_jet goes through chains of layers only, choose --derivative jet: {graph.why_no_chain}"
    wrong = why_no_jets(graph) if pde.derivative in JETS else ""
    others = "choose --derivative finite_difference, sparse_grid or monte_carlo"
    return f"jets do not pass the network: {wrong}; {others}" if wrong else ""


def why_not_through(layer: Layer, pde: Pde, training: Training) -> str:
    """Why an equation's derivatives do not go through a layer of a chain that is applied several times."""
    if not isinstance(layer.gather, Patches) or layer.kind != LayerKind.dense:
        return "an equation's derivatives go through dense convolutions only, not through embeddings or tensor-train kernels"
    if pde.derivative not in JETS:
        return f"derivatives through a convolution need --derivative jet or sampled_jet, not {pde.derivative.name}"
    if any(phase.estimator == Estimator.coordinate_gn for phase in training.phases):
        return "coordinate_gn does not go through convolutions: choose subspace_gn or last_layer_gn"
    return ""


def activation_of(node: Node) -> Activation:
    """What a node bends its numbers by."""
    if isinstance(node.operation, Affine):
        return node.operation.layer.activation
    return node.operation.activation if isinstance(node.operation, Activate) else Activation.identity


def last_parameters(graph: Graph) -> int:
    """Parameters of the dense layer that a graph ends in, without activation, trained and its own; 0 where it ends in
    something else."""
    *before, last = graph.nodes
    if not before or not isinstance(last.operation, Affine) or last.flags:
        return 0
    layer = last.operation.layer
    plain = layer.kind == LayerKind.dense and not layer.gather and layer.activation == Activation.identity
    return layer.n_parameters if plain else 0
