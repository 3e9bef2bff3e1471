# SPDX-License-Identifier: MIT
"""The plan: a model (layer.py), its loss and its training schedule (training.py) as data.

Everything else reads it: the writers render it as ONNX, flat C arrays, a bundle and TFLite; the C runtime, the
onnxruntime emulator and the NumPy reference execute it. All parameters form one float32 vector theta; each layer owns
a slice of it, cores in order (or the dense W), then the bias, in C order.
"""

import dataclasses
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
from ttzo.exporter.pde.program import Pde
from ttzo.exporter.plan.gathering import Tokens
from ttzo.exporter.plan.layer import Layer, PlanError, Tensor
from ttzo.exporter.plan.training import REUSING, Phase, Training


@dataclass(frozen=True, eq=False)
class Plan:
    """A deployment. `parameters` is theta at the start of training, float32, shape (n_parameters,).

    `metadata` is for people and host tools (name, data set, where the model came from); it is no part of the model's
    hash, and no device reads it.
    """

    layers: tuple[Layer, ...]
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

    def __post_init__(self):
        wrong = self._inconsistency()
        if wrong:
            raise PlanError(wrong, "see `ttzo export --help`")

    def _inconsistency(self) -> str:
        if not 1 <= len(self.layers) <= LIMIT["max_layers"]:
            return f"{len(self.layers)} layers; 1 to {LIMIT['max_layers']} can be had"
        at = 0
        for before, layer in zip((None, *self.layers), self.layers, strict=False):
            if before and before.n_outputs != layer.n_inputs:
                return f"layer {layer.name} wants {layer.n_inputs} inputs, {before.name} gives {before.n_outputs}"
            if layer.parameter_offset != at:
                return f"layer {layer.name} begins at parameter {layer.parameter_offset} instead of {at}"
            at += layer.n_parameters
        if self.parameters.shape != (at,) or self.parameters.dtype != np.float32:
            return f"parameters are {self.parameters.dtype}{list(self.parameters.shape)}, the layers hold float32[{at}]"
        if at > LIMIT["max_parameters"]:
            return f"{at} parameters; at most {LIMIT['max_parameters']} can be had"
        if not np.isfinite(self.parameters).all():
            return "a parameter is not finite"
        if not 1 <= self.batch <= LIMIT["max_batch"]:
            return f"batch {self.batch}; 1 to {LIMIT['max_batch']} can be had"
        if not 1 <= len(self.training.phases) <= LIMIT["max_phases"]:
            return f"{len(self.training.phases)} training phases; 1 to {LIMIT['max_phases']} can be had"
        return self._pde_inconsistency() or self._gauss_newton_inconsistency() or self._gather_inconsistency()

    def _gather_inconsistency(self) -> str:
        for number, layer in enumerate(self.layers):
            if layer.gather and self.cache != Cache.float32:
                return f"layer {layer.name} is applied several times: nothing of it is kept in 16 bits, cache float32"
            if layer.gather and self.pde:
                return f"layer {layer.name}: a PDE's derivatives do not go through convolutions or embeddings"
            if not isinstance(layer.gather, Tokens):
                continue
            if number:
                return f"layer {layer.name} takes numbers of tokens: it must be the first"
            if self.input_number == Number.float32 or (self.input_scale, self.input_offset) != (1.0, 0.0):
                return f"layer {layer.name} takes numbers of tokens: uint8 or int16 inputs of scale 1 and offset 0"
            known = {Number.uint8: 256, Number.int16: 32768}[self.input_number]
            if layer.in_features > known:
                return f"layer {layer.name} knows {layer.in_features} tokens, {self.input_number.name} holds {known}"
        return self._applied_inconsistency()

    def _applied_inconsistency(self) -> str:
        reusing = {phase.estimator for phase in self.training.phases} & REUSING
        if not self.gathers or not reusing:
            return ""
        for layer in self.layers[1:]:
            if layer.kind != LayerKind.dense and layer.in_features * layer.out_features > LIMIT["max_matrix"]:
                return f"layer {layer.name} is more than {LIMIT['max_matrix']} numbers multiplied out: take rge"
        refused = reusing - {Estimator.cge, Estimator.cocd}
        if refused:
            return f"{min(refused).name} does not go through convolutions or embeddings: take cge or rge"
        return ""

    def _gauss_newton_inconsistency(self) -> str:
        for phase in self.training.phases:
            if not phase.is_gauss_newton:
                continue
            name = phase.estimator.name
            if self.pde is None:
                return f"{name} wants the residuals of a PDE"
            if phase.update != Update.sgd:
                return f"{name} takes its step as it is: update sgd"
            last = self.layers[-1]
            if self.uses_last_layer and (
                len(self.layers) < 2 or last.kind != LayerKind.dense or last.activation != Activation.identity
            ):
                return f"{name} wants a dense last layer without activation behind another layer"
            if self.n_columns(phase) > LIMIT["max_columns"]:
                return f"{name} has {self.n_columns(phase)} unknowns; at most {LIMIT['max_columns']} can be had"
        return ""

    def _pde_inconsistency(self) -> str:
        if (self.loss == Loss.residual) != (self.pde is not None):
            return "the loss `residual` and a PDE go together"
        if self.pde is None:
            return ""
        if self.in_features != self.pde.n_inputs or self.out_features != 1:
            return f"a network of {self.in_features} inputs and {self.out_features} outputs for a PDE of {self.pde.n_inputs} inputs and 1 output"
        if self.input_number != Number.float32:
            return "a PDE's points are float32"
        if self.batch != self.pde.batch:
            return f"batch {self.batch}, but the PDE has {self.pde.batch} rows"
        for phase in self.training.phases:
            if phase.estimator in REUSING:
                return f"{phase.estimator.name} shares environments between losses, a PDE's residuals share none: take rge or subspace_gn"
        if any(layer.contraction for layer in self.layers):
            return "a PDE's derivatives walk the layers core by core: contraction 0"
        return self.pde.inconsistency()

    @property
    def in_features(self) -> int:
        return self.layers[0].n_inputs

    @property
    def out_features(self) -> int:
        return self.layers[-1].n_outputs

    @property
    def gathers(self) -> bool:
        """Whether a layer is applied several times to a sample."""
        return any(layer.gather for layer in self.layers)

    @property
    def n_tokens(self) -> int:
        """How many tokens the inputs can tell apart; 0 where they are plain numbers."""
        first = self.layers[0]
        return first.in_features if isinstance(first.gather, Tokens) else 0

    @property
    def n_parameters(self) -> int:
        return self.parameters.size

    @property
    def n_moments(self) -> int:
        """Length of the update rule's memory: what the hungriest phase needs."""
        return max(self._moments_of(phase) for phase in self.training.phases)

    def _moments_of(self, phase: Phase) -> int:
        if phase.is_gauss_newton:  # the last two steps, and the ridge
            return 2 * self.n_parameters * (phase.estimator == Estimator.subspace_gn) + 1
        return self.n_parameters * phase.n_moments_per_parameter

    def n_columns(self, phase: Phase) -> int:
        """Unknowns of a Gauss-Newton step: the last layer's, the directions, the last two steps; 0 for others."""
        if not phase.is_gauss_newton:
            return 0
        own = 2 if phase.estimator == Estimator.subspace_gn else self.layers[-1].n_parameters
        return phase.n_queries + own

    @property
    def uses_last_layer(self) -> bool:
        """Whether a phase solves for the last layer as a whole."""
        return any(phase.estimator == Estimator.last_layer_gn for phase in self.training.phases)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(tensor for layer in self.layers for tensor in layer.tensors)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample's forward pass."""
        return sum(layer.merged.macs if self.pde else layer.macs for layer in self.layers)

    def forward_macs(self, n_rows: int) -> int:
        """Multiply-accumulates of `n_rows` rows sent through the network at one parameter vector."""
        return n_rows * self.macs + sum(layer.prepare_macs for layer in self.layers)

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
        return sum(layer.out_features * (layer.in_features + layer.has_bias) for layer in self.layers)

    @property
    def row_bytes(self) -> int:
        """One row on the line: raw inputs, then the target (u16 class, or float32 outputs)."""
        width = {Number.uint8: 1, Number.int16: 2, Number.float32: 4}[self.input_number]
        return self.in_features * width + (2 if self.loss == Loss.cross_entropy else 4 * self.out_features)

    def with_training(self, training: Training) -> "Plan":
        return dataclasses.replace(self, training=training)
