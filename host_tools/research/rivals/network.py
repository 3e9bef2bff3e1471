# SPDX-License-Identifier: MIT
"""Networks as functions of a flat parameter vector, evaluated at many vectors at once.

The layers are a plan's (`exporter.layer.Layer`), so that dense layers, TT-matrices and 2L-way trains of a torch module
come in unchanged. A tensor train is contracted from its middle: both halves are multiplied out once for a vector.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from ttzo.device_runtime.contract import Activation, LayerKind, TtzoError
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.readers.from_torch import layers_from_module
from ttzo.exporter.readers.nn import torch

SMALL_WEIGHT = 1 << 15  # numbers; a TT-matrix not larger than this is multiplied out as a whole

ACTIVATIONS = {
    Activation.identity: lambda z: z,
    Activation.relu: torch.relu,
    Activation.tanh: torch.tanh,
    Activation.sine: torch.sin,
}


ACTIVATIONS_IN_PLACE = {
    Activation.relu: torch.relu_,
    Activation.tanh: torch.tanh_,
    Activation.sine: torch.sin_,
}


def at_once(sizes: dict[str, int], device: torch.device) -> int:
    """How much to work on at a time: `sizes` by kind of device, the CPU's for kinds without one. On a CPU the portion
    stays in the caches; on a GPU it has to outweigh the start of a kernel."""
    return sizes.get(device.type, sizes["cpu"])


@dataclass(frozen=True, eq=False)
class Network:
    """A chain of layers. `start`: theta at the beginning, (n,). With `kept` (indices into the layers' parameters,
    ascending) only those are trained: a network pruned at its start. The others keep the values that `fixed`
    (n_stored,) has at their places, or are zero without it."""

    layers: tuple[Layer, ...]
    start: torch.Tensor
    kept: torch.Tensor | None = None
    fixed: torch.Tensor | None = None

    @classmethod
    def of(cls, module: torch.nn.Module) -> "Network":
        """The network of a chain of Linear and TTLinear layers, at its present parameters. Raises `TtzoError` for
        convolutions and embeddings."""
        layers, parameters = layers_from_module(module)
        if any(layer.gather is not None for layer in layers):
            raise TtzoError("the rivals do not support convolutions or embeddings", "use Linear and TTLinear layers")
        return cls(layers, torch.from_numpy(parameters))

    @property
    def n(self) -> int:
        """Trained parameters."""
        return self.start.numel()

    @property
    def n_stored(self) -> int:
        """Parameters of the layers, the pruned ones too."""
        return sum(layer.n_parameters for layer in self.layers)

    def pruned(self, kept: torch.Tensor, at_start: bool = False) -> "Network":
        """The same network with all parameters except `kept` fixed: at their start, or at zero."""
        return Network(self.layers, self.start[kept].clone(), kept, self.start.clone() if at_start else None)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Network":
        """The same network with its numbers on that device, and of that precision."""
        kept = None if self.kept is None else self.kept.to(device)
        fixed = None if self.fixed is None else self.fixed.to(device, dtype)
        return Network(self.layers, self.start.to(device, dtype), kept, fixed)

    def full(self, thetas: torch.Tensor) -> torch.Tensor:
        """(.., n) -> (.., n_stored): pruned parameters put back at their fixed values."""
        if self.kept is None:
            return thetas
        shape = *thetas.shape[:-1], self.n_stored
        whole = thetas.new_zeros(shape) if self.fixed is None else self.fixed.to(thetas.dtype).expand(shape)
        return whole.index_copy(-1, self.kept, thetas)

    def outputs(self, thetas: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Thetas (Q, n), rows x (B, inputs) -> outputs (Q, B, outputs). Differentiable in both."""
        if self.kept is None or torch.is_grad_enabled():
            return self._outputs(self.full(thetas), x)
        # a large vector of few parameters: only those are written anew for each theta
        stored, rows = self.full(thetas[:1]), x[None]
        apart = self.reaches[0].fixed_part(rows) if self.reaches[0] else None
        vectors = (stored.index_copy_(1, self.kept, theta[None]) for theta in thetas)
        return torch.cat([run(self.ready(vector), rows, apart) for vector in vectors])

    def _outputs(self, stored: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return run(self.ready(stored), x.expand(len(stored), *x.shape))

    def ready(self, stored: torch.Tensor) -> "list[tuple[Layer, Factors]]":
        """What `run` multiplies by, made once for stored parameters (Q, n_stored)."""
        return [(layer, factors(layer, stored, reach)) for layer, reach in zip(self.layers, self.reaches, strict=True)]

    @cached_property
    def reaches(self) -> "tuple[Reach | None, ...]":
        """Of a pruned network's dense layers."""
        if self.kept is None:
            return (None,) * len(self.layers)
        return tuple(
            Reach.of(layer, self.kept, self.fixed) if layer.kind == LayerKind.dense else None for layer in self.layers
        )

    def forward(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Theta (n,), rows (B, inputs) -> (B, outputs)."""
        return self.outputs(theta[None], x)[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one row, contracted as `outputs` does."""
        return sum(
            reach.macs if reach else _macs(layer) for layer, reach in zip(self.layers, self.reaches, strict=True)
        )

    @property
    def prepare_macs(self) -> int:
        """Multiply-accumulates once for a parameter vector: the halves of tensor trains."""
        return sum(_prepare_macs(layer) for layer in self.layers)


@dataclass(frozen=True, eq=False)
class Reach:
    """What is left of a pruned dense layer: the outputs that still have a trained weight, and the inputs that do. The
    rest of its matrix is zeros and is not multiplied by, or has fixed values: `rest` (in, out), 0 where the two meet."""

    outputs: torch.Tensor
    inputs: torch.Tensor
    rest: torch.Tensor | None = None

    @classmethod
    def of(cls, layer: Layer, kept: torch.Tensor, fixed: torch.Tensor | None = None) -> "Reach":
        weight = layer.tensors[0]
        here = kept[(kept >= weight.offset) & (kept < weight.offset + weight.size)] - weight.offset
        outputs, inputs = (here // layer.in_features).unique(), (here % layer.in_features).unique()
        if fixed is None:
            return cls(outputs, inputs)
        rest = tensors(layer, fixed[None])[0][0].T.clone()
        rest[inputs[:, None], outputs] = 0
        return cls(outputs, inputs, rest)

    def fixed_part(self, h: torch.Tensor) -> torch.Tensor | None:
        """What the fixed weights add to the pre-activations of inputs (Q, B, in): (Q, B, out); None without any."""
        return None if self.rest is None else h @ self.rest.to(h.dtype)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one row. Fixed weights count in full, though one product with them can serve many
        parameter vectors."""
        return len(self.outputs) * len(self.inputs) if self.rest is None else self.rest.numel()


def tensors(layer: Layer, theta: torch.Tensor) -> list[torch.Tensor]:
    """The layer's views into stored parameters (Q, n_stored): cores or weight, then bias, each (Q, *shape)."""
    return [
        theta[:, tensor.offset : tensor.offset + tensor.size].reshape(-1, *tensor.shape) for tensor in layer.tensors
    ]


@dataclass(frozen=True)
class Factors:
    """An affine map for Q parameter vectors: `matrices` to multiply rows by in turn, each (Q, in, out), or the two
    `halves` of a TT-matrix; bias (Q, 1, out). With a `reach` the one matrix is that of the inputs and outputs it names,
    and there is a bias."""

    matrices: tuple[torch.Tensor, ...]
    halves: tuple[torch.Tensor, torch.Tensor] | None
    bias: torch.Tensor | None
    reach: Reach | None = None


def factors(layer: Layer, theta: torch.Tensor, reach: Reach | None = None) -> Factors:
    """From stored parameters (Q, n_stored)."""
    parts = tensors(layer, theta)
    bias = parts[-1][:, None] if layer.has_bias else None
    if reach is not None:
        weight = parts[0].index_select(1, reach.outputs).index_select(2, reach.inputs)
        bias = theta.new_zeros(len(theta), 1, layer.out_features) if bias is None else bias
        return Factors((weight.mT,), None, bias, reach)
    if layer.kind == LayerKind.tt_tensor:
        return Factors(halves(layer, parts), None, bias)
    if layer.kind == LayerKind.dense or _is_small(layer):
        return Factors((dense_weight(layer, parts).mT,), None, bias)
    return Factors((), halves(layer, parts), bias)


def through(made: Factors, h: torch.Tensor, fixed_part: torch.Tensor | None = None) -> torch.Tensor:
    """Inputs (Q, B, in) -> pre-activations (Q, B, out). `fixed_part`: `Reach.fixed_part` of h, where it is known."""
    if made.reach and made.bias is not None:  # whose bias stands for what no input reaches
        left = torch.bmm(h.index_select(2, made.reach.inputs), made.matrices[0])
        apart = made.reach.fixed_part(h) if fixed_part is None else fixed_part
        rest = made.bias.expand(-1, h.shape[1], -1) if apart is None else made.bias + apart
        return rest.index_add(2, made.reach.outputs, left)
    if made.halves:
        z = _through_halves(*made.halves, h)
        return z if made.bias is None else z + made.bias
    for matrix in made.matrices[:-1]:
        h = torch.bmm(h, matrix)
    if made.bias is None:
        return torch.bmm(h, made.matrices[-1])
    return torch.baddbmm(made.bias, h, made.matrices[-1])


def affine(layer: Layer, theta: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Stored parameters (Q, n_stored), inputs (Q, B, in) -> pre-activations (Q, B, out)."""
    return through(factors(layer, theta), h)


def run(ready: list[tuple[Layer, Factors]], h: torch.Tensor, fixed_part: torch.Tensor | None = None) -> torch.Tensor:
    """Inputs (Q, B, in) through all layers; `fixed_part` as `through` takes it, of the first layer."""
    for number, (layer, made) in enumerate(ready):
        h = through(made, h, None if number else fixed_part)
        if torch.is_grad_enabled():
            h = ACTIVATIONS[layer.activation](h)
        elif layer.activation != Activation.identity:
            ACTIVATIONS_IN_PLACE[layer.activation](h)
    return h


def dense_weight(layer: Layer, cores: list[torch.Tensor]) -> torch.Tensor:
    """A layer's weight from its tensors, multiplied out where it is a train: (Q, out, in)."""
    if layer.kind == LayerKind.dense:
        return cores[0]
    left, right = halves(layer, cores)
    if layer.kind == LayerKind.tt_tensor:
        return torch.bmm(left, right).mT
    joined = torch.einsum("qmnr,qrkl->qmknl", left, right)
    return joined.reshape(len(left), layer.out_features, layer.in_features)


def halves(layer: Layer, cores: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Both halves of a train. TT-matrix: (Q, out_left, in_left, r), (Q, r, out_right, in_right). 2L-way train: all
    inputs (Q, in, r), all outputs (Q, r, out)."""
    cores = cores[: len(layer.core_shapes)]
    if layer.kind == LayerKind.tt_tensor:
        cores = [core[:, :, :, None] for core in cores]
    cut = middle(layer)
    left, right = _joined(cores[:cut])[:, 0], _joined(cores[cut:])[..., 0]
    return (left[:, :, 0], right[..., 0]) if layer.kind == LayerKind.tt_tensor else (left, right)


def middle(layer: Layer) -> int:
    """The number of cores in a train's left half."""
    return len(layer.in_modes) if layer.kind == LayerKind.tt_tensor else len(layer.in_modes) // 2


def _joined(cores: list[torch.Tensor]) -> torch.Tensor:
    """Neighbouring cores (Q, r, m, n, r') multiplied out: (Q, first r, all m, all n, last r')."""
    made = cores[0]
    for core in cores[1:]:
        made = torch.einsum("qamnr,qrkls->qamknls", made, core).flatten(4, 5).flatten(2, 3)
    return made


def _through_halves(left: torch.Tensor, right: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    q, m_left, n_left, rank = left.shape
    _, _, m_right, n_right = right.shape
    rows = h.shape[1]
    # [(b, n_left), n_right] @ [n_right, (r, m_right)], then [m_left, (n_left, r)] @ [(n_left, r), m_right] for each row
    right = right.reshape(q, rank * m_right, n_right).mT
    inner = torch.bmm(h.reshape(q, rows * n_left, n_right), right).reshape(q, rows, n_left * rank, m_right)
    left = left.reshape(q, m_left, n_left * rank)
    made = [torch.bmm(left[k].expand(rows, -1, -1), inner[k]) for k in range(q)]
    return torch.stack(made).reshape(q, rows, m_left * m_right)


def _is_small(layer: Layer) -> bool:
    return layer.kind == LayerKind.tt_matrix and layer.in_features * layer.out_features <= SMALL_WEIGHT


def _sizes(layer: Layer) -> tuple[int, int, int, int, int]:
    """Products of input modes left and right of the middle, of output modes, and the rank there."""
    cut = middle(layer)
    ins, outs = layer.in_modes, layer.out_modes
    return math.prod(ins[:cut]), math.prod(ins[cut:]), math.prod(outs[:cut]), math.prod(outs[cut:]), layer.ranks[cut]


def _macs(layer: Layer) -> int:
    if layer.kind == LayerKind.dense or _is_small(layer):
        return layer.in_features * layer.out_features
    if layer.kind == LayerKind.tt_tensor:
        return layer.ranks[middle(layer)] * (layer.in_features + layer.out_features)
    n_left, n_right, m_left, m_right, rank = _sizes(layer)
    return n_left * rank * m_right * (n_right + m_left)


def _prepare_macs(layer: Layer) -> int:
    total, cut = 0, middle(layer)
    for first, end in ((0, cut), (cut, len(layer.core_shapes))) if layer.kind != LayerKind.dense else ():
        rows = math.prod(layer.core_shapes[first][:-1])
        for shape in layer.core_shapes[first + 1 : end]:
            total += rows * math.prod(shape)
            rows *= math.prod(shape[1:-1])
    if _is_small(layer):
        total += layer.in_features * layer.out_features * layer.ranks[cut]
    return total
