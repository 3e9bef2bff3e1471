# SPDX-License-Identifier: MIT
"""A torch module that is a chain of layers, read from its modules without running them."""

import dataclasses
import math
from collections.abc import Iterator
from typing import TypeGuard, TypeVar

import numpy as np

from ttzo.device_runtime.contract import Activation, Combine, LayerKind
from ttzo.exporter.operations import gathering as gatherings
from ttzo.exporter.operations.gathering import Gathering, Patches
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.pruning import unpruned
from ttzo.exporter.readers.errors import ExportError
from ttzo.exporter.readers.nn import Sine, Tokens, TTConv2d, TTEmbedding, TTLinear, pair, torch

ACTIVATIONS = {torch.nn.ReLU: Activation.relu, torch.nn.Tanh: Activation.tanh, Sine: Activation.sine}
LINEAR = (torch.nn.Linear, TTLinear)
CONVOLUTIONS = (torch.nn.Conv2d, TTConv2d)
EMBEDDINGS = (torch.nn.Embedding, torch.nn.EmbeddingBag, TTEmbedding)

Kind = TypeVar("Kind", bound=torch.nn.Module)
Convolution = torch.nn.Conv2d | TTConv2d
Embedding = torch.nn.Embedding | torch.nn.EmbeddingBag | TTEmbedding


class NotAChainError(ExportError):
    """The module is more than a chain of these layers: it has to be traced."""


def layers_from_module(module: torch.nn.Module) -> tuple[tuple[Layer, ...], np.ndarray]:
    """The layers and their parameters, float32 (n,), whether a device could run them or not. Raises `ExportError`."""
    layers: list[Layer] = []
    values: list[np.ndarray] = []
    for place, part, gathering in _affine_and_activations(module):
        if isinstance(part, Activation):
            layers[-1] = dataclasses.replace(layers[-1], activation=part)
        else:
            layers.append(_layer(place, part, gathering, sum(array.size for array in values)))
            values += [_float32(name, tensor) for name, tensor in _tensors(place, part)]
    if not layers:
        raise NotAChainError("the model has no layer", "give a model with a layer")
    return tuple(layers), np.concatenate(values)


def tensors_of_module(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Names of the plan's tensors and the module's own, as views in the plan's shapes. Raises `ExportError`."""
    targets = []
    for place, part, _ in _affine_and_activations(module):
        if not isinstance(part, Activation):
            targets += _tensors(place, part)
    return targets


# ---- walking the module ---------------------------------------------------------------------------------------------


def _affine_and_activations(
    module: torch.nn.Module,
) -> Iterator[tuple[str, torch.nn.Module | Activation, Gathering | None]]:
    """Affine layers, each with where it gathers its inputs, and activations in order; every rule about what may stand
    where is kept here, what a row looks like in `_Row`."""
    _refuse_what_runs_otherwise(module)
    seen: set[int] = set()
    before: torch.nn.Module | Activation | None = None
    row = _Row()
    for place, part in _leaves("", module):
        activation = next((code for kind, code in ACTIVATIONS.items() if _is(part, kind)), None)
        if activation is not None:
            if before is None or isinstance(before, Activation):
                where = "with no layer before it" if before is None else "directly after another activation"
                raise _refusal(place, part, f"stands {where}", "put it after a Linear or TTLinear")
            before = activation
            yield place, activation, None
        elif any(_is(part, kind) for kind in (*LINEAR, *CONVOLUTIONS, *EMBEDDINGS)):
            _refuse_sharing(place, part, seen)
            before = part
            yield place, part, row.through(place, part)
        elif not row.reshaped(place, part) and not _passes_through(place, part):
            raise _refusal(place, part, "is no layer of a chain")
    row.end()


class _Row:
    """What one row looks like on its way through the module: its shape where that is known, or numbers of tokens."""

    def __init__(self):
        self.shape: tuple[int, ...] | None = None
        self.tokens: int | None = None
        self.after = ""

    def reshaped(self, place: str, part: torch.nn.Module) -> bool:
        """Whether the module only says what the row looks like."""
        if _is(part, Tokens):
            if self.after:
                raise _final(place, part, f"comes after {self.after}", "token numbers are a network's first inputs")
            self.tokens = part.count
            return True
        if not _is(part, torch.nn.Unflatten):
            if self.shape and _is(part, torch.nn.Flatten):
                self.shape = (math.prod(self.shape),)
            return False
        sizes = tuple(int(size) for size in part.unflattened_size)
        if part.dim != 1 or len(sizes) != 3 or min(sizes) < 1:
            raise _refusal(
                place, part, f"makes {sizes} of dimension {part.dim}", "use nn.Unflatten(1, (channels, rows, columns))"
            )
        self.shape = sizes
        return True

    def through(self, place: str, part: torch.nn.Module) -> Gathering | None:
        """The row after a layer; returns where the layer gathers its inputs."""
        gathering: Gathering | None = None
        if self.tokens is not None and not self.after and not isinstance(part, EMBEDDINGS):
            raise _final(place, part, "gets token numbers", "put an Embedding, EmbeddingBag or TTEmbedding before")
        if isinstance(part, CONVOLUTIONS):
            gathering = patches = self._patches(place, part)
            self.shape = (part.out_channels, *patches.out_image)
        elif isinstance(part, EMBEDDINGS):
            if self.tokens is None or self.after:
                raise _final(place, part, "gets no token numbers", "let the network begin with Tokens(count)")
            combine = _combine(place, part)
            gathering = gatherings.Tokens(self.tokens, combine, _padding(place, part))
            each = combine == Combine.each
            self.shape = (self.tokens, part.embedding_dim) if each else (part.embedding_dim,)
        else:
            if self.shape and len(self.shape) > 1:
                raise _refusal(place, part, f"comes after an array {self.shape}", "put nn.Flatten() before it")
            self.shape = None
        self.after = f"layer {place}"
        return gathering

    def _patches(self, place: str, part: Convolution) -> Patches:
        if not self.shape or len(self.shape) != 3:
            hint = "let the network begin with nn.Unflatten(1, (channels, rows, columns))"
            raise _refusal(place, part, "does not know the size of its images", hint)
        if self.shape[0] != part.in_channels:
            raise _final(place, part, f"takes {part.in_channels} channels, but there are {self.shape[0]}")
        if isinstance(part, torch.nn.Conv2d) and (part.groups, part.padding_mode, part.dilation) != (
            1,
            "zeros",
            (1, 1),
        ):
            raise _refusal(place, part, "has groups, dilation or a padding other than zeros", "leave these out")
        return Patches(*self.shape, pair(part.kernel_size), pair(part.stride), _border(place, part))

    def end(self) -> None:
        if self.shape and len(self.shape) > 1:
            raise ExportError(f"the model ends in an array {self.shape}", "put nn.Flatten() at its end")


def _border(place: str, part: Convolution) -> tuple[int, int]:
    """Rows and columns of zeros on each side."""
    if part.padding == "valid":
        return 0, 0
    if not isinstance(part.padding, str):
        return pair(part.padding)
    if any(size % 2 == 0 for size in part.kernel_size):
        raise _refusal(place, part, "pads one side more than the other", "take a kernel of odd size")
    rows, columns = part.kernel_size
    return rows // 2, columns // 2


def _combine(place: str, part: Embedding) -> Combine:
    if isinstance(part, torch.nn.Embedding):
        return Combine.each
    if part.mode not in Combine.__members__:
        raise _final(place, part, f"has the mode {part.mode}", "choose mean or sum")
    return Combine[part.mode]


def _padding(place: str, part: Embedding) -> int | None:
    if isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag) and part.max_norm is not None:
        raise _final(place, part, "changes its table on the way forward", "leave out max_norm")
    at = part.padding_idx
    if isinstance(part, torch.nn.Embedding) and at is not None and part.weight[at].any():
        raise _final(place, part, "has a padding vector that is not zero", "set it to zero")
    return at


def _leaves(place: str, module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    if _is(module, torch.nn.Sequential):
        for name, child in module._modules.items():
            yield from _leaves(f"{place}.{name}" if place else name, child)
    else:
        yield place or "model", module


def _is(module: torch.nn.Module, kind: type[Kind]) -> TypeGuard[Kind]:
    """Whether the module computes what `kind` does: a subclass with its own forward does not."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _passes_through(place: str, part: torch.nn.Module) -> bool:
    """Identity, Flatten of all but the batch, and a Dropout that is switched off change nothing."""
    if isinstance(part, torch.nn.Dropout) and part.training and part.p > 0:
        raise _final(place, part, "is active", "call model.eval() first: a device trains without dropout")
    if isinstance(part, torch.nn.Flatten) and (part.start_dim, part.end_dim) != (1, -1):
        raise _refusal(place, part, f"flattens dimensions {part.start_dim} to {part.end_dim}", "use nn.Flatten()")
    return any(_is(part, kind) for kind in (torch.nn.Identity, torch.nn.Flatten, torch.nn.Dropout))


def _refuse_sharing(place: str, part: torch.nn.Module, seen: set[int]) -> None:
    own = {id(parameter) for parameter in part.parameters()}
    if own & seen:
        raise _refusal(place, part, "shares parameters with a layer before it", "give each layer its own parameters")
    seen |= own


def _refuse_what_runs_otherwise(module: torch.nn.Module) -> None:
    """Whatever makes a known module compute something else, or keeps a parameter as it is."""
    for place, part in module.named_modules():
        hooks = part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)
        if hooks or torch.nn.utils.parametrize.is_parametrized(part):
            raise _refusal(place or "model", part, "has hooks, a forward or parameters of its own")
    if not all(parameter.requires_grad for parameter in module.parameters()):
        raise NotAChainError("the model has frozen parameters", "leave requires_grad True to train them")


def _refusal(place: str, part: torch.nn.Module, what: str, hint: str = "trace it") -> NotAChainError:
    return NotAChainError(f"layer {place}: {type(part).__name__} {what}", hint)


def _final(place: str, part: torch.nn.Module, what: str, hint: str = "check the sizes there") -> ExportError:
    """Of what cannot be exported as a graph either."""
    return ExportError(f"layer {place}: {type(part).__name__} {what}", hint)


# ---- one layer ------------------------------------------------------------------------------------------------------


def _layer(place: str, part: torch.nn.Module, gathering: Gathering | None, offset: int) -> Layer:
    if isinstance(part, TTLinear):
        return dataclasses.replace(part.layer, name=place, parameter_offset=offset, gather=gathering)
    if isinstance(part, torch.nn.Conv2d):
        n_in, n_out, has_bias = part.weight[0].numel(), part.out_channels, part.bias is not None
    elif isinstance(part, EMBEDDINGS):
        n_in, n_out, has_bias = part.num_embeddings, part.embedding_dim, False
    elif isinstance(part, torch.nn.Linear):
        n_in, n_out, has_bias = part.in_features, part.out_features, part.bias is not None
    else:
        raise _refusal(place, part, "cannot be exported")
    return Layer(place, LayerKind.dense, n_in, n_out, offset, has_bias, gather=gathering)


def _tensors(place: str, part: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Names and tensors in the plan's order and shapes, as views: cores or weight, then bias."""
    named: list[tuple[str, torch.Tensor]] = []
    bias: torch.Tensor | None = None
    if isinstance(part, TTLinear):
        named += ((f"core{k}", core) for k, core in enumerate(part.cores))
        bias = part.bias
    elif isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag):
        named.append(("weight", part.weight.T))
    elif isinstance(part, torch.nn.Conv2d):
        if not part.weight.is_contiguous():
            raise _refusal(place, part, "has a kernel in another memory format", "take torch.contiguous_format")
        named.append(("weight", part.weight.view(part.out_channels, -1)))
        bias = part.bias
    elif isinstance(part, torch.nn.Linear):
        if part.weight.shape != (part.out_features, part.in_features):
            says = f"says {part.in_features} -> {part.out_features} and has a weight {list(part.weight.shape)}"
            raise _final(place, part, says, "build it anew with the sizes of its weight")
        named.append(("weight", part.weight))
        bias = part.bias
    if bias is not None:
        named.append(("bias", bias.view(-1)))
    return [(f"{place}.{name}", tensor) for name, tensor in named]


def _float32(name: str, tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype != torch.float32:
        raise ExportError(f"{name} is {tensor.dtype}, but a device computes in float32", "call model.float() first")
    return unpruned(tensor.detach().cpu().numpy().ravel())
