# SPDX-License-Identifier: MIT
"""torch modules that the exporter understands beside torch's own, and the one place that imports torch."""

import dataclasses
import math
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Combine, LayerKind, TtzoError
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.readers import tensor_train

try:
    import torch
except ImportError as missing:
    raise TtzoError("this needs PyTorch, which is not installed", "pip install 'ttzo[torch]'") from missing

FORMATS = {"matrix": LayerKind.tt_matrix, "tensor": LayerKind.tt_tensor}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch draws from `seed`; afterwards its generator goes on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Sine(torch.nn.Module):
    """sin(x), the activation of the paper's PDE networks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


class TTLinear(torch.nn.Module):
    """`x @ W.T + bias` with `W` (out_features, in_features) kept as a tensor train.

    in_modes, out_modes: factors of the features, first mode slowest; chosen automatically when not given.
    ranks: one interior rank for all bonds, or one for each; or give `budget`, the most parameters the layer may have,
    bias included. format: "matrix" (cores (r, m, n, r')) or "tensor" (cores (r, n, r') of the inputs, then (r, m, r')
    of the outputs). Cores are the parameters `core0`, `core1`, ..; they start at equal scale with Xavier's variance in
    `W` times gain**2, the bias at 0. Raises `PlanError` for a fold or ranks that do not fit.
    """

    bias: torch.nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        in_modes: tuple[int, ...] | None = None,
        out_modes: tuple[int, ...] | None = None,
        ranks: int | tuple[int, ...] | None = None,
        format: str = "matrix",
        bias: bool = True,
        budget: int | None = None,
        gain: float = 1.0,
    ):
        super().__init__()
        self.layer = geometry(in_features, out_features, in_modes, out_modes, ranks, format, bias, budget)
        self.relative_error: float | None = None  # set by from_linear
        self.n_cores = len(self.layer.core_shapes)
        for k, shape in enumerate(self.layer.core_shapes):
            self.register_parameter(f"core{k}", torch.nn.Parameter(torch.empty(shape)))
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(out_features)) if bias else None)
        self.reset_parameters(gain)

    @property
    def cores(self) -> list[torch.nn.Parameter]:
        return [getattr(self, f"core{k}") for k in range(self.n_cores)]

    @torch.no_grad()
    def reset_parameters(self, gain: float = 1.0) -> None:
        """Draws new cores from torch's generator; the bias becomes 0."""
        normal = torch.randn(sum(core.numel() for core in self.cores)).numpy()
        for core, values in zip(self.cores, tensor_train.random_cores(self.layer, normal, gain), strict=True):
            core.copy_(torch.from_numpy(values))
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_features) -> (batch, out_features), by the same matrix products as the device."""
        out = self._product(x)
        return out if self.bias is None else out + self.bias

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        multiply = _matrix_product if self.layer.kind == LayerKind.tt_matrix else _tensor_product
        return multiply(self.layer, self.cores, x)

    def weight(self) -> torch.Tensor:
        """`W`, rebuilt: (out_features, in_features). Differentiable."""
        like = self.cores[0]
        unit_rows = torch.eye(self.layer.in_features, dtype=like.dtype, device=like.device)
        return self._product(unit_rows).T

    def extra_repr(self) -> str:
        fold = f"{'·'.join(map(str, self.layer.in_modes))} -> {'·'.join(map(str, self.layer.out_modes))}"
        return f"{self.layer.in_features} -> {self.layer.out_features}, {self.layer.kind.name} {fold}, ranks {self.layer.ranks}"

    @classmethod
    @torch.no_grad()
    def from_linear(
        cls,
        linear: torch.nn.Linear,
        in_modes: tuple[int, ...] | None = None,
        out_modes: tuple[int, ...] | None = None,
        ranks: int | tuple[int, ...] | None = None,
        format: str = "matrix",
        budget: int | None = None,
        error: float | None = None,
    ) -> "TTLinear":
        """The layer's closest train of at most these ranks by TT-SVD (paper section 3.1), bias taken over; with `error`
        in their place, of the smallest ranks whose `relative_error` is surely not larger.

        `relative_error` of the result is ||W - W_tt|| / ||W|| (Frobenius; 0 for a zero weight). Bonds that need less
        than the rank asked for get what they need.
        """
        dense = linear.weight.detach().cpu().double().numpy()
        has_bias = linear.bias is not None
        if error is not None and ranks is None and budget is None:
            ranks = max(linear.in_features, linear.out_features)  # no bond needs more
        wanted = geometry(linear.in_features, linear.out_features, in_modes, out_modes, ranks, format, has_bias, budget)
        cores = [core.astype(np.float32) for core in tensor_train.decompose(wanted, dense, error or 0.0)]
        made_ranks = tuple(core.shape[-1] for core in cores[:-1])
        made = cls(
            linear.in_features, linear.out_features, wanted.in_modes, wanted.out_modes, made_ranks, format, has_bias
        )
        for parameter, values in zip(made.cores, cores, strict=True):
            parameter.copy_(torch.from_numpy(values))
        if made.bias is not None:
            made.bias.copy_(linear.bias)
        lost = dense - tensor_train.dense_weight(made.layer, [core.astype(np.float64) for core in cores])
        made.relative_error = float(np.linalg.norm(lost) / (np.linalg.norm(dense) or 1.0))
        return made


class TTConv2d(TTLinear):
    """A convolution whose kernel (out_channels, in_channels * rows * columns) is kept as a tensor train: `TTLinear`
    applied to every patch of an image, whose numbers are in the order (channel, row, column).

    Takes `TTLinear`'s fold, ranks, format, bias, budget and gain, with in_channels * rows * columns input features.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        **train,
    ):
        kernel = pair(kernel_size)
        super().__init__(in_channels * math.prod(kernel), out_channels, **train)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.padding = pair(stride), pair(padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, rows, columns) -> (batch, out_channels, ..), patch by patch as on the device."""
        n, _, *sizes = x.shape
        out_image = [
            (size + 2 * pad - kernel) // stride + 1
            for size, kernel, stride, pad in zip(sizes, self.kernel_size, self.stride, self.padding, strict=True)
        ]
        patches = torch.nn.functional.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)
        rows = super().forward(patches.transpose(1, 2).reshape(-1, self.layer.in_features))
        return rows.reshape(n, -1, self.out_channels).transpose(1, 2).reshape(n, self.out_channels, *out_image)

    def kernel(self) -> torch.Tensor:
        """The kernel, rebuilt: (out_channels, in_channels, rows, columns). Differentiable."""
        return self.weight().reshape(self.out_channels, self.in_channels, *self.kernel_size)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kernel {self.kernel_size}, stride {self.stride}, padding {self.padding}"

    @classmethod
    @torch.no_grad()
    def from_conv2d(cls, conv: torch.nn.Conv2d, **train) -> "TTConv2d":
        """The kernel's closest train by TT-SVD, as `TTLinear.from_linear`; bias taken over."""
        if isinstance(conv.padding, str):
            raise TtzoError(f"the convolution's padding is {conv.padding!r}", "give it as numbers")
        linear = torch.nn.Linear(math.prod(conv.weight.shape[1:]), conv.out_channels, conv.bias is not None)
        linear.weight.copy_(conv.weight.flatten(1))
        if conv.bias is not None:
            linear.bias.copy_(conv.bias)
        found = TTLinear.from_linear(linear, **train)
        layer = found.layer
        made = cls(
            conv.in_channels, conv.out_channels, pair(conv.kernel_size), pair(conv.stride), pair(conv.padding),
            in_modes=layer.in_modes,
            out_modes=layer.out_modes, ranks=layer.ranks[1:-1], bias=layer.has_bias,
            format="matrix" if layer.kind == LayerKind.tt_matrix else "tensor",
        )  # fmt: skip
        made.load_state_dict(found.state_dict())
        made.relative_error = found.relative_error
        return made


class Tokens(torch.nn.Module):
    """The first module of a network that reads rows of `count` token numbers, of whatever number format."""

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, self.count).long()


class TTEmbedding(TTLinear):
    """An embedding table (num_embeddings, embedding_dim) kept as the tensor train of its transpose: a token picks one
    slice of each core that has an input mode, by the digits of its number (the first mode's the most significant).

    mode: what becomes of a row's vectors: "each" (batch, tokens, embedding_dim), their "sum" or their "mean". The token
    `padding_idx` is the zero vector, and a mean leaves it out. Takes `TTLinear`'s fold, ranks, format and budget, with
    num_embeddings input features; entries start with variance gain**2, as torch's own.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        padding_idx: int | None = None,
        gain: float = 1.0,
        **train,
    ):
        if mode not in Combine.__members__:
            raise TtzoError(f"there is no embedding mode {mode!r}", f"choose one of {', '.join(Combine.__members__)}")
        as_linear = gain * math.sqrt((num_embeddings + embedding_dim) / 2)
        super().__init__(num_embeddings, embedding_dim, bias=False, gain=as_linear, **train)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.mode, self.padding_idx = mode, padding_idx

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) of whole numbers -> (batch, embedding_dim), or with mode "each" (batch, tokens, ..)."""
        vectors = self._vectors(tokens.reshape(-1)).reshape(*tokens.shape, -1)
        counts = torch.ones_like(tokens, dtype=vectors.dtype)
        if self.padding_idx is not None:
            counts = (tokens != self.padding_idx).to(vectors.dtype)
            vectors = vectors * counts[..., None]
        if self.mode == "each":
            return vectors
        total = vectors.sum(1)
        return total / counts.sum(1, keepdim=True).clamp(min=1) if self.mode == "mean" else total

    def table(self) -> torch.Tensor:
        """The table, rebuilt: (num_embeddings, embedding_dim). Differentiable."""
        return self.weight().T

    def _vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n,) -> (n, embedding_dim)."""
        digits, like = torch.unravel_index(tokens, self.layer.in_modes), self.cores[0]
        if self.layer.kind == LayerKind.tt_matrix:  # right to left: state [n, r', m_k+1..]
            state = torch.ones(len(tokens), 1, 1, dtype=like.dtype, device=like.device)
            for core, digit in zip(reversed(self.cores), reversed(digits), strict=True):
                state = torch.einsum("rmns,nsq->nrmq", core[:, :, digit], state).flatten(2)
            return state[:, 0]
        state = torch.ones(len(tokens), 1, dtype=like.dtype, device=like.device)
        for core, digit in zip(self.cores, digits, strict=False):
            state = torch.einsum("nr,rns->ns", state, core[:, digit])
        state = state[:, None]
        for core in self.cores[len(digits) :]:
            state = (state @ core.reshape(core.shape[0], -1)).reshape(len(tokens), -1, core.shape[2])
        return state[..., 0]


def pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns from one number for both, or one for each."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return rows, columns


def geometry(
    in_features: int,
    out_features: int,
    in_modes: tuple[int, ...] | None,
    out_modes: tuple[int, ...] | None,
    ranks: int | tuple[int, ...] | None,
    format: str,
    bias: bool,
    budget: int | None,
) -> Layer:
    """The plan's layer for `TTLinear`'s arguments, fold and ranks filled in. Raises `PlanError` or `TtzoError`."""
    if format not in FORMATS:
        raise TtzoError(f"there is no tensor-train format {format!r}", f"choose one of {', '.join(FORMATS)}")
    if (ranks is None) == (budget is None):
        raise TtzoError("a tensor-train layer needs either ranks or a parameter budget", "give ranks=.. or budget=..")
    kind = FORMATS[format]
    automatic = tensor_train.automatic_fold(kind, in_features, out_features)
    one = in_modes if out_modes is None else out_modes if in_modes is None else None
    if kind == LayerKind.tt_matrix and one is not None:
        modes = tensor_train.balanced_modes
        automatic = modes(in_features, len(one)), modes(out_features, len(one))
    ins, outs = (tuple(given or chosen) for given, chosen in zip((in_modes, out_modes), automatic, strict=True))
    n_bonds = (len(ins) if kind == LayerKind.tt_matrix else len(ins) + len(outs)) - 1
    full = tensor_train.full_ranks(1 if ranks is None else _whole_ranks(ranks), n_bonds)
    layer = Layer("TTLinear", kind, in_features, out_features, 0, bias, in_modes=ins, out_modes=outs, ranks=full)
    return layer if budget is None else dataclasses.replace(layer, ranks=tensor_train.ranks_within(layer, budget))


def _whole_ranks(ranks: Any) -> int | tuple[int, ...]:
    """One rank or one for each bond, of NumPy's whole numbers too. Raises `TtzoError`."""
    try:
        return operator.index(ranks)
    except TypeError:
        pass
    try:
        return tuple(operator.index(rank) for rank in ranks)
    except TypeError as error:
        hint = "give one whole number for all bonds, or one for each: ranks=4, or ranks=(4, 6, 4)"
        raise TtzoError(f"ranks are {ranks!r}", hint) from error


def _matrix_product(layer: Layer, cores: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    # Right to left; state [batch, n_1..n_k-1, (n_k, r_k+1), m_k+1..]. C order makes each regrouping a plain reshape.
    for core, (repeats, rows, inner, columns) in zip(reversed(cores), layer.contractions, strict=True):
        x = core.reshape(rows, inner) @ x.reshape(-1, repeats, inner, columns)
    return x.reshape(-1, layer.out_features)


def _tensor_product(layer: Layer, cores: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    # Input modes: state [batch, (r, n_k), n_k+1..]. Output modes: state [batch, m_1..m_k-1, r].
    for k, (core, (_, rows, inner, columns)) in enumerate(zip(cores, layer.contractions, strict=True)):
        if k < len(layer.in_modes):
            x = core.reshape(inner, rows).T @ x.reshape(-1, inner, columns)
        else:
            x = x.reshape(-1, rows, inner) @ core.reshape(inner, columns)
    return x.reshape(-1, layer.out_features)
