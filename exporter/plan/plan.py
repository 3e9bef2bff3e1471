# SPDX-License-Identifier: MIT
"""The plan: a model (layer.py), its loss and its training schedule (training.py) as data.

Everything else reads it: the writers render it as ONNX, flat C arrays, a bundle and TFLite; the C runtime, the
onnxruntime emulator and the NumPy reference execute it. All trained parameters form one float32 vector theta; each node
owns a slice of it, in the order of the nodes; of a layer, cores in order (or the dense W), then the bias, in C order.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    LIMIT,
    Activation,
    Arithmetic,
    Cache,
    Derivative,
    Estimator,
    LayerKind,
    Loss,
    Number,
    Update,
)
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Tokens
from ttzo.exporter.operations.layer import Layer, PlanError, Tensor
from ttzo.exporter.pde.program import Pde
from ttzo.exporter.plan import jet_rules
from ttzo.exporter.plan.augmentation import Augmentation
from ttzo.exporter.plan.graph import Graph
from ttzo.exporter.plan.loss_options import CLASSES, LossOptions
from ttzo.exporter.plan.normalisation import InputNormalisation
from ttzo.exporter.plan.packing import Packing
from ttzo.exporter.plan.training import REUSING, Phase, Training
from ttzo.exporter.plan.unknowns import Unknowns

OF_CHAINS = (Estimator.chain_differences, Estimator.last_layer_gn, Estimator.frozen_features)


@dataclass(frozen=True, eq=False)
class Plan:
    """A deployment. `parameters` is theta at the start of training, float32, shape (n_parameters,); `constants` are the
    parameters of frozen nodes (constants.py).

    The model is a graph. Where it is a chain of layers, `chain` is their tuple; what works on chains alone asks for
    `layers`, which refuses every other graph by name.

    `metadata` is for people and host tools (name, data set, where the model came from); it is no part of the model's
    hash, and no device reads it.
    """

    graph: Graph
    parameters: np.ndarray
    loss: Loss
    training: Training = Training()
    batch: int = 32
    arithmetic: Arithmetic = Arithmetic.separate
    cache: Cache = Cache.float32
    input_number: Number = Number.uint8
    input_scale: float = 1.0
    input_offset: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)
    pde: Pde | None = None  # with loss `residual`
    constants: bytes = b""
    loss_options: LossOptions = LossOptions()
    simulation: Simulation | None = None  # with loss `simulation`: there is no network
    augmentation: Augmentation | None = None
    normalisation: InputNormalisation | None = None  # of readings, before the input scale and offset are undone
    packing: Packing | None = None  # how a host packs rows for the line

    @classmethod
    def of_simulation(cls, simulation: Simulation, start: np.ndarray, **settings: Any) -> "Plan":
        """The plan of a simulation whose unknowns begin at `start` (theta, float32)."""
        graph = Unknowns.of(simulation.unknowns, simulation.row_numbers, len(simulation.measured))
        return cls(graph, start, Loss.simulation, input_number=Number.float32, simulation=simulation, **settings)

    @classmethod
    def of_layers(cls, layers: Iterable[Layer], parameters: np.ndarray, *fields: Any, **settings: Any) -> "Plan":
        """The plan of a chain of layers."""
        return cls(Graph.of_layers(layers), parameters, *fields, **settings)

    def with_layers(self, layers: Iterable[Layer], **changes: Any) -> "Plan":
        """The same plan of another chain of layers."""
        return dataclasses.replace(self, graph=Graph.of_layers(layers), **changes)

    def __post_init__(self):
        object.__setattr__(self, "loss_options", self.loss_options.of_output(self.loss, self._output_axes()))
        wrong = self._inconsistency()
        if wrong:
            raise PlanError(wrong, "see `ttzo export --help`")

    def _inconsistency(self) -> str:
        if self.chain and len(self.chain) > LIMIT["max_layers"]:
            return f"{len(self.chain)} layers; 1 to {LIMIT['max_layers']} are supported"
        n = sum(tensor.size for tensor in self.tensors)
        if self.parameters.shape != (n,) or self.parameters.dtype != np.float32:
            return f"parameters are {self.parameters.dtype}{list(self.parameters.shape)}, the layers hold float32[{n}]"
        if len(self.constants) != self.graph.constant_bytes:
            return f"{len(self.constants)} bytes of constants, the frozen nodes hold {self.graph.constant_bytes}"
        if n > LIMIT["max_parameters"]:
            return f"{n} parameters; at most {LIMIT['max_parameters']} are supported"
        if not n and not self.constants:
            return "the model has no parameters"
        if not np.isfinite(self.parameters).all():
            at = int(np.flatnonzero(~np.isfinite(self.parameters))[0])
            name = next(tensor.name for tensor in self.tensors if tensor.offset <= at < tensor.offset + tensor.size)
            return f"a parameter is not finite: one of {name}"
        if not 1 <= self.batch <= LIMIT["max_batch"]:
            return f"batch {self.batch}; 1 to {LIMIT['max_batch']} are supported"
        if not 1 <= len(self.training.phases) <= LIMIT["max_phases"]:
            return f"{len(self.training.phases)} training phases; 1 to {LIMIT['max_phases']} are supported"
        if (self.loss == Loss.simulation) != (self.simulation is not None):
            return "the loss `simulation` needs a simulation, and a simulation needs this loss"
        if self.simulation is not None:
            return self._simulation_inconsistency(self.simulation)
        if any(phase.estimator == Estimator.simulation_gn for phase in self.training.phases):
            return "simulation_gn fits the unknown constants of a simulation (ttzo.ode), not a network"
        wrong = self.loss_options.inconsistency(self.loss, self.out_features) or self._augmentation_inconsistency()
        if wrong:
            return wrong
        if self.chain is None:
            return self._graph_inconsistency() or self._token_inconsistency()
        return (
            self._pde_inconsistency()
            or self._gauss_newton_inconsistency()
            or self._gather_inconsistency()
            or self._chain_inconsistency()
        )

    def _simulation_inconsistency(self, simulation: Simulation) -> str:
        phases = self.training.phases
        if len(phases) != 1 or (phases[0].estimator, phases[0].update) != (Estimator.simulation_gn, Update.sgd):
            return "a simulation is fitted by one phase of simulation_gn"
        if self.input_number != Number.float32 or (self.input_scale, self.input_offset) != (1.0, 0.0):
            return "the rows of a log are float32, of scale 1 and offset 0"
        if (self.in_features, self.out_features) != (simulation.row_numbers, len(simulation.measured)):
            return "the rows have other numbers than the simulation's log"
        return "a simulation keeps no caches" if self.cache != Cache.float32 else simulation.inconsistency()

    def _graph_inconsistency(self) -> str:
        """What is not built for a graph that is no chain."""
        why = self.graph.why_no_chain
        if self.cache != Cache.float32:
            return f"nothing of a graph is kept in 16 bits, cache float32: {why}"
        for node in self.graph.nodes:
            if isinstance(node.operation, Affine) and node.operation.layer.contraction:
                return f"layer {node.name} of a graph is contracted core by core: contraction 0"
        for phase in self.training.phases:
            if phase.estimator in OF_CHAINS:
                others = "coordinate_gn, subspace_gn" if self.pde else "cge, node_cge"
                return f"{phase.estimator.name} works on chains of layers only, choose {others} or rge: {why}"
        return self._pde_inconsistency() or self._graph_equation_inconsistency()

    def _graph_equation_inconsistency(self) -> str:
        """Why an equation is not trained through this graph."""
        for phase in self.training.phases:
            if phase.is_gauss_newton and (wrong := self._whole_step_inconsistency(phase)):
                return wrong
            if phase.estimator != Estimator.coordinate_gn:
                if self.n_columns(phase) > LIMIT["max_columns"]:
                    return self._too_many_columns(phase)
            elif not jet_rules.last_parameters(self.graph) or not self.asks_all:
                return f"coordinate_gn asks a graph of at most {LIMIT['max_coordinates']:,} parameters that ends in a dense layer without activation: choose subspace_gn"
            elif wrong := self._coordinate_inconsistency():
                return wrong
        return jet_rules.why_no_derivatives(self.graph, self.pde) if self.pde else ""

    def _augmentation_inconsistency(self) -> str:
        if self.packing is not None and not (self.packing.is_sound and self.pde is None):
            return "the code of packed rows is damaged, or the model needs no rows"
        if self.normalisation is not None and (wrong := self.normalisation.inconsistency(self.in_features)):
            return wrong
        if self.augmentation is None:
            return ""
        if self.pde or self.n_tokens:
            return "rows of tokens and points of an equation cannot be augmented: a moved one means something else"
        return self.augmentation.inconsistency(self.in_features)

    def _token_inconsistency(self) -> str:
        if not self.n_tokens:
            return ""
        if self.input_number == Number.float32 or (self.input_scale, self.input_offset) != (1.0, 0.0):
            return "the model takes numbers of tokens: uint8 or int16 inputs of scale 1 and offset 0 (--input int16)"
        known = {Number.uint8: 256, Number.int16: 32768}[self.input_number]
        return (
            f"the model knows {self.n_tokens} tokens, {self.input_number.name} holds {known}"
            if self.n_tokens > known
            else ""
        )

    def _gather_inconsistency(self) -> str:
        for number, layer in enumerate(self.layers):
            if layer.gather and self.cache != Cache.float32:
                return f"layer {layer.name} is applied several times: its arrays cannot be kept in 16 bits, so cache must be float32"
            if layer.gather and self.pde and (wrong := jet_rules.why_not_through(layer, self.pde, self.training)):
                return f"layer {layer.name}: {wrong}"
            if not isinstance(layer.gather, Tokens):
                continue
            if number:
                return f"layer {layer.name} reads token numbers: it must be the first"
            if self.input_number == Number.float32 or (self.input_scale, self.input_offset) != (1.0, 0.0):
                return f"layer {layer.name} reads token numbers: inputs must be uint8 or int16, scale 1 and offset 0 (--input int16)"
            known = {Number.uint8: 256, Number.int16: 32768}[self.input_number]
            if layer.in_features > known:
                return f"layer {layer.name} has {layer.in_features} tokens, but {self.input_number.name} inputs can name only {known}"
        return self._gathered_inconsistency()

    def _chain_inconsistency(self) -> str:
        if all(phase.estimator != Estimator.chain_differences for phase in self.training.phases):
            return ""
        for layer in self.layers[1:]:
            if layer.kind != LayerKind.dense and layer.in_features * layer.out_features > LIMIT["max_matrix"]:
                return f"layer {layer.name} has more than {LIMIT['max_matrix']} weights multiplied out, which chain_differences takes as a matrix: choose node_cge"
        return ""

    def _gathered_inconsistency(self) -> str:
        reusing = {phase.estimator for phase in self.training.phases} & REUSING
        if not self.gathers or not reusing:
            return ""
        for layer in self.layers[1:]:
            if layer.kind != LayerKind.dense and layer.in_features * layer.out_features > LIMIT["max_matrix"]:
                return f"layer {layer.name} has more than {LIMIT['max_matrix']} weights multiplied out: choose rge"
        refused = reusing - {Estimator.cge, Estimator.cocd}
        if refused:
            return f"{min(refused).name} does not support convolutions or embeddings: choose cge or rge"
        return ""

    def _gauss_newton_inconsistency(self) -> str:
        for phase in self.training.phases:
            if not phase.is_gauss_newton:
                continue
            name = phase.estimator.name
            if (wrong := self._whole_step_inconsistency(phase)) or self.pde is None:
                return wrong
            last = self.layers[-1]
            if phase.estimator != Estimator.subspace_gn and (
                len(self.layers) < 2
                or last.kind != LayerKind.dense
                or last.gather
                or last.activation != Activation.identity
            ):
                return f"{name} needs a dense last layer without activation, after another layer"
            if phase.estimator == Estimator.frozen_features and (wrong := self._feature_inconsistency()):
                return f"{name} {wrong}: choose coordinate_gn"
            if phase.estimator == Estimator.coordinate_gn:
                if self.gathers:
                    return f"{name} makes no columns of convolutions: choose subspace_gn"
                if self.pde.beyond_columns and not self.asks_all:
                    return f"{name} makes no columns of {self.pde.beyond_columns} for a network of {self._beyond_dense}: choose subspace_gn"
                if wrong := self._coordinate_inconsistency():
                    return wrong
            elif self.n_columns(phase) > LIMIT["max_columns"]:
                return self._too_many_columns(phase)
        return ""

    def _whole_step_inconsistency(self, phase: Phase) -> str:
        """Why a Gauss-Newton phase does not fit any network of this plan."""
        name = phase.estimator.name
        if ((self.parameters == 0) & np.signbit(self.parameters)).any():
            return f"{name} moves all parameters, pruned ones (-0.0) too: choose rge"
        if self.pde is None:
            return f"{name} needs the residuals of a PDE"
        return f"{name} computes whole steps: its update must be sgd" if phase.update != Update.sgd else ""

    def _coordinate_inconsistency(self) -> str:
        """Why coordinate_gn has too many coordinates."""
        least, most = min(self.n_coordinates, self.batch), LIMIT["max_parameters"] // self.batch
        if self.n_coordinates > most:
            return f"coordinate_gn asks {self.n_coordinates:,} parameters; with {self.batch:,} rows at most {most:,} are supported"
        if least > LIMIT["max_columns"]:
            return f"coordinate_gn has {self.n_coordinates:,} unknowns and {self.batch:,} rows; at most {LIMIT['max_columns']:,} of one of both are supported"
        return ""

    def _too_many_columns(self, phase: Phase) -> str:
        return (
            f"{phase.estimator.name} has {self.n_columns(phase)} unknowns; at most {LIMIT['max_columns']} are supported"
        )

    def _feature_inconsistency(self) -> str:
        """Why frozen_features does not work on this network, in words."""
        first, *others = self.layers
        if len(others) != 1 or not self.asks_all or not first.has_bias:
            return f"needs one dense hidden layer with biases, and at most {LIMIT['max_coordinates']:,} parameters"
        if first.activation not in (Activation.tanh, Activation.sine):
            return f"needs tanh or sine units, not {first.activation.name}"
        return "finds no unknown constants" if self.unknowns else ""

    def _pde_inconsistency(self) -> str:
        if (self.loss == Loss.residual) != (self.pde is not None):
            return "the loss `residual` needs a PDE, and a PDE needs this loss"
        if self.pde is None:
            return ""
        if (self.in_features, self.out_features) != (self.pde.n_inputs, self.pde.n_outputs):
            fields = f"{self.pde.n_outputs} unknown functions" if self.pde.n_outputs > 1 else "1 output"
            return f"a network of {self.in_features} inputs and {self.out_features} outputs for a PDE of {self.pde.n_inputs} inputs (coordinates in space, then time) and {fields}; pde.Problem(fields=[..]) names several"
        if self.input_number != Number.float32:
            return "a PDE's points are float32"
        if self.batch != self.pde.batch:
            return f"batch {self.batch}, but the PDE has {self.pde.batch} rows"
        for phase in self.training.phases:
            if phase.estimator in REUSING:
                return f"{phase.estimator.name} shares environments between losses, which a PDE's residuals cannot: choose rge or subspace_gn"
        if any(layer.contraction for layer in self.chain or ()):
            return "a PDE's derivatives are computed core by core: the contraction must be 0"
        return self.pde.inconsistency()

    def _output_axes(self) -> tuple[int, ...]:
        if self.simulation is not None:
            return (self.out_features,)
        last = self.graph.nodes[-1].operation
        if self.chain and isinstance(last, Affine) and isinstance(last.layer.gather, Tokens):
            return (last.layer.n_outputs // last.layer.out_features, last.layer.out_features)
        return self.graph.arrays[-1].shape

    @property
    def chain(self) -> tuple[Layer, ...] | None:
        """The layers where the model is a chain of them, else None."""
        return self.graph.layers

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of a chain. Raises `PlanError` for every other graph."""
        if self.chain is None:
            raise PlanError(f"this works on chains of layers only: {self.graph.why_no_chain}", "")
        return self.chain

    @property
    def in_features(self) -> int:
        return self.graph.arrays[0].numbers

    @property
    def out_features(self) -> int:
        return self.graph.arrays[-1].numbers

    @property
    def n_classes(self) -> int:
        """Classes of a target, at each place; 0 where targets are numbers."""
        return self.loss_options.n_classes(self.loss, self.out_features)

    @property
    def finds_anomalies(self) -> bool:
        """Whether the model learns to give good rows back (anomaly.py): its targets are its inputs."""
        return self.metadata.get("task") == "anomaly"

    @property
    def has_classes(self) -> bool:
        return self.loss in CLASSES

    @property
    def has_padding(self) -> bool:
        """Whether targets are rows of classes, one for each place, some of which may be no_class."""
        return self.loss == Loss.place_cross_entropy

    @property
    def n_places(self) -> int:
        """Classes that a row's target names: 1, or one for each place of a sequence; 0 where targets are numbers."""
        return self.loss_options.places or int(self.has_classes)

    def no_targets(self, n: int) -> np.ndarray:
        """Targets that stand for none: int64 (n,) classes, of sequences (n, places), or float32 (n, out_features)."""
        if self.has_padding:
            return np.zeros((n, self.n_places), np.int64)
        return np.zeros(n, np.int64) if self.has_classes else np.zeros((n, self.out_features), np.float32)

    @property
    def gathers(self) -> bool:
        """Whether the model is a chain with a layer that is applied several times to a sample."""
        return any(layer.gather for layer in self.chain or ())

    @property
    def n_tokens(self) -> int:
        """How many tokens there are; 0 where inputs are plain numbers."""
        return self.graph.n_tokens

    @property
    def n_parameters(self) -> int:
        return self.parameters.size

    @property
    def n_moments(self) -> int:
        """Length of the update rule's memory: what the hungriest phase needs."""
        if self.simulation is not None:
            return self.simulation.n_moments
        return max(self._moments_of(phase) for phase in self.training.phases)

    def _moments_of(self, phase: Phase) -> int:
        if phase.is_gauss_newton:  # the last two steps, and the ridge
            return 2 * self.n_parameters * (phase.estimator == Estimator.subspace_gn) + 1
        return self.n_parameters * phase.n_moments_per_parameter

    def n_columns(self, phase: Phase) -> int:
        """Unknowns of a Gauss-Newton step: the last layer's, the directions, the last two steps; 0 for others."""
        if not phase.is_gauss_newton:
            return 0
        if phase.estimator == Estimator.coordinate_gn:
            return self.n_coordinates
        if phase.estimator == Estimator.frozen_features:
            return self.layers[-1].n_parameters
        own = 2 if phase.estimator == Estimator.subspace_gn else self.layers[-1].n_parameters
        return phase.n_queries + own + len(self.unknowns)

    @property
    def asks_all(self) -> bool:
        """Whether coordinate_gn asks all parameters: of a small network, dense or a graph."""
        dense = all(layer.kind == LayerKind.dense and not layer.gather for layer in self.chain or ())
        return dense and self.n_parameters <= LIMIT["max_coordinates"]

    @property
    def _beyond_dense(self) -> str:
        """Why coordinate_gn does not ask all parameters, in words."""
        dense = all(layer.kind == LayerKind.dense for layer in self.layers)
        return f"more than {LIMIT['max_coordinates']:,} parameters" if dense else "tensor trains"

    @property
    def n_coordinates(self) -> int:
        """Parameters that coordinate_gn asks: all, or the last layer's and the biases before it."""
        if self.asks_all or self.chain is None:
            return self.n_parameters
        *_, before, last = self.layers
        return last.n_parameters + (before.out_features if before.has_bias else 0)

    @property
    def n_last_coordinates(self) -> int:
        """How many of them are the last layer's."""
        return self.layers[-1].n_parameters if self.chain else jet_rules.last_parameters(self.graph)

    @property
    def uses_last_layer(self) -> bool:
        """Whether a phase solves for the last layer as a whole."""
        return any(phase.estimator == Estimator.last_layer_gn for phase in self.training.phases)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The slices of theta, in order; an equation's unknown constants are the last ones."""
        tensors = self.graph.tensors
        names = self.unknowns
        first = sum(tensor.size for tensor in tensors)
        return (*tensors, *(Tensor(name, (1,), first + k) for k, name in enumerate(names)))

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of an equation's unknown constants."""
        units = self.pde.units if self.pde else ()
        names = self.metadata.get("unknowns", ())
        return tuple(names) if len(names) == len(units) else tuple(f"unknown{k}" for k in range(len(units)))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample's forward pass."""
        return sum(layer.merged.macs for layer in self.chain) if self.pde and self.chain else self.graph.macs

    def forward_macs(self, n_rows: int) -> int:
        """Multiply-accumulates of `n_rows` rows sent through the network at one parameter vector."""
        return n_rows * self.macs + sum(layer.prepare_macs for layer in self.chain or ())

    @property
    def basis_size(self) -> int:
        """Directions in space that stand for all where compensated jets go through a first layer whose one (merged) input
        core has a smaller rank: device_runtime/equations/compensated_basis.h. 0 where that saves nothing."""
        first = self.layers[0].merged
        if self.pde is None or first.kind != LayerKind.tt_tensor or len(first.in_modes) != 1:
            return 0
        return first.ranks[1] if first.ranks[1] < self.pde.n_space else 0

    @property
    def equation(self) -> Pde:
        """`pde` of a plan that must have one. Raises `PlanError` where there is none."""
        if self.pde is None:
            raise PlanError("the model has no equation", "name one of a PDE, such as black-scholes")
        return self.pde

    @property
    def passes(self) -> int:
        """Forward passes that a row takes: with an equation, about, those of its derivatives."""
        if self.pde is None:
            return 1
        saves = self.pde.derivative == Derivative.compensated_jet and self.basis_size
        return self.pde.passes - (self.pde.n_space - self.basis_size if saves else 0)

    @property
    def dense_parameters(self) -> int:
        """Parameters of the same network without tensor trains."""
        layers = [node.operation.layer for node in self.graph.nodes if isinstance(node.operation, Affine)]
        dense = sum(layer.out_features * (layer.in_features + layer.has_bias) for layer in layers)
        return dense + sum(n.operation.n_parameters for n in self.graph.nodes if not isinstance(n.operation, Affine))

    @property
    def row_bytes(self) -> int:
        """One row on the line: raw inputs, then the target (u16 classes, or float32 outputs)."""
        width = {Number.uint8: 1, Number.int16: 2, Number.float32: 4}[self.input_number]
        return self.in_features * width + (2 * self.n_places or 4 * self.out_features)

    def with_training(self, training: Training) -> "Plan":
        return dataclasses.replace(self, training=training)
