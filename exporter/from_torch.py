# SPDX-License-Identifier: MIT
"""A torch module as a plan, and a plan's parameters back into the torch module."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Activation, Arithmetic, LayerKind, Loss, Number, TtzoError
from ttzo.exporter.nn import Sine, TTLinear, torch
from ttzo.exporter.pde import Pde
from ttzo.exporter.plan import Layer, Plan, Training

ACTIVATIONS = {torch.nn.ReLU: Activation.relu, torch.nn.Tanh: Activation.tanh, Sine: Activation.sine}
SUPPORTED = "use Linear, TTLinear, ReLU, Tanh, Sine and Flatten in (nested) nn.Sequential"


class ExportError(TtzoError):
    """A model that cannot be exported; the sentence names the layer and its place."""


def plan_from_module(
    module: torch.nn.Module,
    *,
    loss: Loss = Loss.cross_entropy,
    training: Training | None = None,
    batch: int = 32,
    input_number: Number = Number.uint8,
    input_scale: float = 1.0,
    input_offset: float = 0.0,
    arithmetic: Arithmetic = Arithmetic.separate,
    metadata: dict[str, Any] | None = None,
    pde: Pde | None = None,
) -> Plan:
    """The plan of an `nn.Sequential`-style module at its present parameters.

    Layers keep their place in the module as name ("0", "hidden.2"), so that the plan's tensors are called as in
    `state_dict()`. An activation becomes part of the layer before it. Raises `ExportError` naming the first thing that
    cannot be exported, `PlanError` for a plan that no device could run.
    """
    layers: list[Layer] = []
    values: list[np.ndarray] = []
    for place, part in _affine_and_activations(module):
        if isinstance(part, Activation):
            layers[-1] = dataclasses.replace(layers[-1], activation=part)
        else:
            layers.append(_layer(place, part, sum(array.size for array in values)))
            values += [_float32(name, tensor) for name, tensor in _tensors(place, part)]
    if not layers:
        raise ExportError("the model has no layer", SUPPORTED)
    return Plan(
        layers=tuple(layers),
        parameters=np.concatenate(values),
        loss=loss,
        training=training or Training(),
        batch=batch,
        arithmetic=arithmetic,
        input_number=input_number,
        input_scale=input_scale,
        input_offset=input_offset,
        metadata=metadata or {},
        pde=pde,
    )


def load_into_module(module: torch.nn.Module, trained: Plan | np.ndarray) -> None:
    """Writes a plan's parameters, or a bare theta, into the module the plan was made from: the same float32 bits.

    Nothing is changed when the sizes or, with a plan, the tensors' names and shapes differ (`ExportError`).
    """
    theta = trained.parameters if isinstance(trained, Plan) else np.asarray(trained)
    targets = []
    for place, part in _affine_and_activations(module):
        if not isinstance(part, Activation):
            targets += _tensors(place, part)
    size = sum(tensor.numel() for _, tensor in targets)
    if theta.dtype != np.float32 or theta.shape != (size,):
        raise ExportError(
            f"the module holds {size} parameters, given are {theta.dtype}{list(theta.shape)}",
            "build the module as it was exported",
        )
    if isinstance(trained, Plan):
        _same_tensors(trained, targets)
    at = 0
    with torch.no_grad():
        for _, tensor in targets:
            part = theta[at : at + tensor.numel()].reshape(tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(part.copy()))
            at += tensor.numel()


def _same_tensors(plan: Plan, targets: list[tuple[str, torch.Tensor]]) -> None:
    here = [(name, tuple(tensor.shape)) for name, tensor in targets]
    there = [(tensor.name, tensor.shape) for tensor in plan.tensors]
    for mine, planned in zip(here, there, strict=False):
        if mine != planned:
            raise ExportError(
                f"the module has {mine[0]} {list(mine[1])} where the plan has {planned[0]} {list(planned[1])}",
                "build the module as it was exported",
            )


# ---- walking the module ---------------------------------------------------------------------------------------------


def _affine_and_activations(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module | Activation]]:
    """Affine layers and activations in order; every rule about what may stand where is kept here."""
    seen: set[int] = set()
    before: torch.nn.Module | Activation | None = None
    for place, part in _leaves("", module):
        activation = next((code for kind, code in ACTIVATIONS.items() if _is(part, kind)), None)
        if activation is not None:
            if before is None or isinstance(before, Activation):
                where = "with no layer before it" if before is None else "directly behind another activation"
                raise _refusal(place, part, f"stands {where}", "put it behind a Linear or TTLinear")
            before = activation
            yield place, activation
        elif _is(part, torch.nn.Linear) or _is(part, TTLinear):
            _refuse_sharing(place, part, seen)
            before = part
            yield place, part
        elif not _passes_through(place, part):
            raise _refusal(place, part, "cannot be exported", SUPPORTED)


def _leaves(place: str, module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    if _is(module, torch.nn.Sequential):
        for name, child in module._modules.items():
            yield from _leaves(f"{place}.{name}" if place else name, child)
    else:
        yield place or "model", module


def _is(module: torch.nn.Module, kind: type) -> bool:
    """Whether the module computes what `kind` does: a subclass with its own forward does not."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _passes_through(place: str, part: torch.nn.Module) -> bool:
    """Identity, Flatten of all but the batch, and a Dropout that is switched off change nothing."""
    if isinstance(part, torch.nn.Dropout) and part.training and part.p > 0:
        raise _refusal(place, part, "is switched on", "call model.eval() first: a device trains without dropout")
    if isinstance(part, torch.nn.Flatten) and (part.start_dim, part.end_dim) != (1, -1):
        raise _refusal(place, part, f"flattens dimensions {part.start_dim} to {part.end_dim}", "use nn.Flatten()")
    return any(_is(part, kind) for kind in (torch.nn.Identity, torch.nn.Flatten, torch.nn.Dropout))


def _refuse_sharing(place: str, part: torch.nn.Module, seen: set[int]) -> None:
    own = {id(parameter) for parameter in part.parameters()}
    if own & seen:
        raise _refusal(place, part, "shares parameters with a layer before it", "give each layer its own parameters")
    seen |= own


def _refusal(place: str, part: torch.nn.Module, what: str, hint: str) -> ExportError:
    return ExportError(f"layer {place}: {type(part).__name__} {what}", hint)


# ---- one layer ------------------------------------------------------------------------------------------------------


def _layer(place: str, part: torch.nn.Module, offset: int) -> Layer:
    if isinstance(part, TTLinear):
        return dataclasses.replace(part.layer, name=place, parameter_offset=offset)
    has_bias = part.bias is not None
    return Layer(place, LayerKind.dense, part.in_features, part.out_features, offset, has_bias)


def _tensors(place: str, part: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Names and tensors in the plan's order: cores or weight, then bias."""
    names = [f"core{k}" for k in range(part.n_cores)] if isinstance(part, TTLinear) else ["weight"]
    if part.bias is not None:
        names.append("bias")
    return [(f"{place}.{name}", getattr(part, name)) for name in names]


def _float32(name: str, tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype != torch.float32:
        raise ExportError(f"{name} is {tensor.dtype}, a device computes in float32", "call model.float() first")
    return tensor.detach().cpu().numpy().ravel()
