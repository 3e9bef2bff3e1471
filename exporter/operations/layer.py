# SPDX-License-Identifier: MIT
"""A layer of the plan: its shapes, its slice of theta, and what applying it costs."""

import dataclasses
import math
from dataclasses import dataclass

from ttzo.device_runtime.contract import LIMIT, Activation, LayerKind, TtzoError
from ttzo.exporter.operations.gathering import NO_TOKEN, Gathering, Patches, Places, Tokens

LAYER_ACTIVATIONS = (Activation.identity, Activation.relu, Activation.tanh, Activation.sine)
MERGED_MODES = LIMIT["merged_modes"]


class PlanError(TtzoError):
    """A model or schedule that no device could run."""


@dataclass(frozen=True)
class Tensor:
    """One named slice of theta: `theta[offset : offset + size].reshape(shape)`."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layer:
    """An affine map, dense or in tensor-train form, and the activation after it.

    `ranks` has one more entry than there are cores: `len(in_modes)` cores for `tt_matrix` (core k of shape
    `(r_k, m_k, n_k, r_k+1)`), `len(in_modes) + len(out_modes)` for `tt_tensor` (`(r, n, r')`, then `(r, m, r')`).
    `contraction` c > 0 cuts a TT-matrix before core c, or multiplies it out whole where it has c cores: see
    exporter/choose/contraction.py; 0 is right to left, core by core.
    `gather`: where its inputs lie when it is applied several times, as a convolution or embedding; the features are
    those of one application.
    """

    name: str
    kind: LayerKind
    in_features: int
    out_features: int
    parameter_offset: int
    has_bias: bool = True
    activation: Activation = Activation.identity
    in_modes: tuple[int, ...] = ()
    out_modes: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    contraction: int = 0
    gather: Gathering | None = None

    def __post_init__(self):
        wrong = self._gather_inconsistency() or self._inconsistency()
        if wrong:
            raise PlanError(f"layer {self.name}: {wrong}", "check the layer's fold and ranks")

    def _gather_inconsistency(self) -> str:
        if self.gather is None:
            return ""
        if self.gather.inconsistency:
            return self.gather.inconsistency
        if max(self.n_inputs, self.n_outputs) > LIMIT["max_features"]:
            return f"{self.n_inputs} -> {self.n_outputs} numbers in all; 1 to {LIMIT['max_features']} are supported"
        if self.contraction:
            return "a layer that is applied several times is contracted core by core: its contraction must be 0"
        if isinstance(self.gather, Patches | Places):
            return self._application_inconsistency(self.gather)
        if self.has_bias:
            return "an embedding has no bias"
        padding = self.gather.padding
        if self.in_features > NO_TOKEN or padding is not None and not 0 <= padding < self.in_features:
            return f"padding token {padding} of {self.in_features} tokens: at most {NO_TOKEN} tokens, the padding token among them"
        return ""

    def _application_inconsistency(self, gather: Patches | Places) -> str:
        if gather.in_features != self.in_features:
            return f"patches of {gather.in_features} numbers for {self.in_features} inputs"
        groups = gather.groups if isinstance(gather, Patches) else 1
        if self.kind != LayerKind.dense and groups > 1:
            return "a tensor train has no groups"
        return f"{groups} groups of {self.out_features} outputs" if self.out_features % groups else ""

    def _inconsistency(self) -> str:
        if self.activation not in LAYER_ACTIVATIONS:
            return f"{self.activation.name} is a node of its own"
        modes = {
            LayerKind.dense: 0,
            LayerKind.tt_matrix: len(self.in_modes),
            LayerKind.tt_tensor: len(self.in_modes + self.out_modes),
        }
        if not 1 <= self.in_features <= LIMIT["max_features"] or not 1 <= self.out_features <= LIMIT["max_features"]:
            return f"{self.in_features} -> {self.out_features} features; 1 to {LIMIT['max_features']} are supported"
        if self.contraction and not (self.kind == LayerKind.tt_matrix and 0 < self.contraction <= len(self.in_modes)):
            return f"cannot be split before core {self.contraction}"
        if self.kind == LayerKind.dense:
            return "a dense layer has no modes" if self.in_modes or self.out_modes or self.ranks else ""
        if max(len(self.in_modes), len(self.out_modes)) > LIMIT["max_modes"]:
            return f"more than {LIMIT['max_modes']} modes on one side"
        if (math.prod(self.in_modes), math.prod(self.out_modes)) != (self.in_features, self.out_features):
            return f"modes {self.in_modes} -> {self.out_modes} do not multiply to {self.in_features} -> {self.out_features}"
        if self.kind == LayerKind.tt_matrix and len(self.in_modes) != len(self.out_modes):
            return "a TT-matrix needs as many input as output modes"
        if len(self.ranks) != modes[self.kind] + 1 or self.ranks[0] != 1 or self.ranks[-1] != 1 or min(self.ranks) < 1:
            return f"ranks {self.ranks} should be {modes[self.kind] + 1} positive numbers that begin and end with 1"
        return ""

    @property
    def n_inputs(self) -> int:
        """Numbers of the array before the layer."""
        return self.gather.n_inputs if self.gather else self.in_features

    @property
    def patches(self) -> Patches:
        """`gather` of a convolution. Raises `PlanError` for another layer."""
        if not isinstance(self.gather, Patches):
            raise PlanError(f"{self.name} is not a convolution", "ask for `gather`")
        return self.gather

    @property
    def tokens(self) -> Tokens:
        """`gather` of an embedding. Raises `PlanError` for another layer."""
        if not isinstance(self.gather, Tokens):
            raise PlanError(f"{self.name} is not an embedding", "ask for `gather`")
        return self.gather

    @property
    def n_outputs(self) -> int:
        """Numbers of the array after it."""
        return self.gather.n_outputs(self.out_features) if self.gather else self.out_features

    @property
    def positions(self) -> int:
        """How often the layer is applied to a sample."""
        return self.gather.positions if self.gather else 1

    @property
    def application(self) -> "Layer":
        """One application as a layer of its own: of a token, with the slices of the cores that it picks."""
        if isinstance(self.gather, Tokens):
            picked = tuple(1 for _ in self.in_modes)
            return dataclasses.replace(self, gather=None, in_features=1, in_modes=picked)
        return dataclasses.replace(self, gather=None)

    @property
    def core_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the TT cores; for a dense layer the one shape (out, in)."""
        if self.kind == LayerKind.dense:
            return ((self.out_features, self.in_features),)
        left, right = self.ranks[:-1], self.ranks[1:]
        if self.kind == LayerKind.tt_matrix:
            return tuple(zip(left, self.out_modes, self.in_modes, right, strict=True))
        return tuple(zip(left, self.in_modes + self.out_modes, right, strict=True))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The layer's slices of theta, in order."""
        names = ["weight"] if self.kind == LayerKind.dense else [f"core{k}" for k in range(len(self.core_shapes))]
        shapes = list(self.core_shapes)
        if self.has_bias:
            names.append("bias")
            shapes.append((self.out_features,))
        made, at = [], self.parameter_offset
        for name, shape in zip(names, shapes, strict=True):
            made.append(Tensor(f"{self.name}.{name}", tuple(shape), at))
            at += math.prod(shape)
        return tuple(made)

    @property
    def core_numbers(self) -> int:
        """Numbers of all cores together."""
        return sum(math.prod(shape) for shape in self.core_shapes)

    @property
    def n_parameters(self) -> int:
        return sum(tensor.size for tensor in self.tensors)

    @property
    def contractions(self) -> tuple[tuple[int, int, int, int], ...]:
        """The layer's matrix products for one sample, core by core, as (repeats, rows, inner, columns).

        TT-matrix, right to left: core k turns `T[n_1..n_k-1][n_k, r_k+1][m_k+1..]` into
        `[n_1..n_k-1][r_k, m_k][m_k+1..]`. 2L-way TT: input modes left to right, then output modes left to right.
        """
        if self.kind == LayerKind.dense:
            return ((1, self.out_features, self.in_features, 1),)
        steps, n_in = [], len(self.in_modes)
        if self.kind == LayerKind.tt_matrix:
            for k in reversed(range(n_in)):
                r_left, m, n, r_right = self.core_shapes[k]
                steps.append(
                    (math.prod(self.in_modes[:k]), r_left * m, n * r_right, math.prod(self.out_modes[k + 1 :]))
                )
            return tuple(steps)
        for k in range(n_in):
            r_left, n, r_right = self.core_shapes[k]
            steps.append((1, r_right, r_left * n, math.prod(self.in_modes[k + 1 :])))
        for k in range(len(self.out_modes)):
            r_left, m, r_right = self.core_shapes[n_in + k]
            steps.append((1, math.prod(self.out_modes[:k]), r_left, m * r_right))
        return tuple(steps)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample, by the layer's contraction."""
        if not self.contraction:
            return self.positions * self.application.macs_core_by_core
        c = self.contraction
        if c == len(self.in_modes):
            return self.in_features * self.out_features
        n_left, n_right = math.prod(self.in_modes[:c]), math.prod(self.in_modes[c:])
        m_left, m_right = math.prod(self.out_modes[:c]), math.prod(self.out_modes[c:])
        return n_left * self.ranks[c] * m_right * (n_right + m_left)

    @property
    def macs_core_by_core(self) -> int:
        """Multiply-accumulates of one application that goes through the layer core by core, as where environments are
        kept."""
        return sum(math.prod(step) for step in self.contractions)

    @property
    def merged(self) -> "Layer":
        """The layer as a PDE's derivatives take it (device_runtime/equations/columns.c): of a 2L-way train, neighbouring cores
        are multiplied out where their modes make no more than `MERGED_MODES`, input cores two by two from the first,
        output cores up to the last. The same layer when there are none; else its first parameter is at 0."""
        together = self.cores_together
        if all(count == 1 for _, count in together):
            return self
        modes, n_in = self.in_modes + self.out_modes, len(self.in_modes)
        return dataclasses.replace(
            self,
            in_modes=tuple(math.prod(modes[k : k + count]) for k, count in together if k < n_in),
            out_modes=tuple(math.prod(modes[k : k + count]) for k, count in together if k >= n_in),
            ranks=(1, *(self.ranks[k + count] for k, count in together)),
            parameter_offset=0,
        )

    @property
    def merged_core_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the cores of `merged` that are two of this layer's."""
        shapes = self.merged.core_shapes
        return tuple(shape for shape, (_, count) in zip(shapes, self.cores_together, strict=True) if count == 2)

    @property
    def cores_together(self) -> tuple[tuple[int, int], ...]:
        """The first core of each merged one, and how many it takes: one or two."""
        if self.kind != LayerKind.tt_tensor:
            return tuple((k, 1) for k in range(len(self.core_shapes)))
        found = []
        n_in, n_out = len(self.in_modes), len(self.out_modes)
        for modes, start, single in ((self.in_modes, 0, 0), (self.out_modes, n_in, n_out % 2)):
            k = 0
            while k < len(modes):
                fits = k >= single and k + 1 < len(modes) and modes[k] * modes[k + 1] <= MERGED_MODES
                starts_pair = (k - single) % 2 == 0
                found.append((start + k, 2 if fits and starts_pair else 1))
                k += found[-1][1]
        return tuple(found)

    @property
    def prepare_macs(self) -> int:
        """Multiply-accumulates that a contraction takes once for each parameter vector."""
        macs = 0
        for first, end in ((0, self.contraction), (self.contraction, len(self.in_modes))) if self.contraction else ():
            rows = self.ranks[first]
            for k in range(first, end):
                rows *= self.out_modes[k] * self.in_modes[k]
                macs += rows * self.ranks[k] * self.ranks[k + 1] if k > first else 0
        return macs


def gather_scratch(layer: Layer) -> int:
    """Floats of two exchange buffers for the applications that go side by side and, of a token, the slices it picks: as
    in gathered_layer.c."""
    one = layer.application
    widest = _contraction_widest(one)
    if isinstance(layer.gather, Patches):
        return 2 * LIMIT["positions_at_once"] * widest
    return 2 * widest + one.core_numbers


def _contraction_widest(one: Layer) -> int:
    return max(one.in_features, *(repeats * rows * columns for repeats, rows, _, columns in one.contractions))
