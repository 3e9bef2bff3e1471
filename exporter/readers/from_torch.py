# SPDX-License-Identifier: MIT
"""A torch module as a plan, and a plan's parameters back into the torch module.

A chain of layers is read from its modules (torch_chain.py); every other module is traced (torch_graph.py).
"""

import contextlib
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Arithmetic, Loss, Number
from ttzo.exporter.pde import Pde
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.readers.errors import ExportError
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.readers.torch_chain import NotAChainError, layers_from_module, tensors_of_module
from ttzo.exporter.readers.torch_graph import TracedModel

__all__ = ["ExportError", "layers_from_module", "load_into_module", "plan_from_module"]


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
    input_shape: tuple[int, ...] | None = None,
    row_shape: tuple[int, ...] | None = None,
    loss_options: LossOptions | None = None,
) -> Plan:
    """The plan of a module at its present parameters.

    Parameters keep their names, so that the plan's tensors are called as in `state_dict()`. An activation becomes part of
    the layer before it. What has `requires_grad=False`, and batch norm, is frozen. `input_shape`: of one row, where the
    first layer does not say it; `row_shape`: of the data's rows, which counts where nothing else says it. What was left out or frozen is said in the metadata's `notes`. Raises `ExportError`
    naming the first thing that cannot be exported, `PlanError` for a plan that no device could run.
    """
    module = _as_it_was_written(module)
    settings: dict[str, Any] = dict(
        loss=loss,
        training=training or Training(),
        batch=batch,
        arithmetic=arithmetic,
        input_number=input_number,
        input_scale=input_scale,
        input_offset=input_offset,
        metadata=(metadata or {}) | ({"input_shape": list(input_shape)} if input_shape else {}),
        pde=pde,
        loss_options=loss_options or LossOptions(),
    )
    with contextlib.suppress(NotAChainError):
        layers, parameters = layers_from_module(module)
        return Plan.of_layers(layers, parameters=parameters, **settings)
    return TracedModel(module, input_shape, row_shape).plan(**settings)


def load_into_module(
    module: torch.nn.Module, trained: Plan | np.ndarray, *, input_shape: tuple[int, ...] | None = None
) -> None:
    """Writes a plan's parameters, or a bare theta, into the module the plan was made from: the same float32 bits.

    The module then takes what the device takes. Where the model was trained on a table, these are normalised rows: column k is
    (x - centre[k]) / spread[k] with the numbers in `trained.metadata["preparation"]["normalisation"]`, and outputs that are
    numbers are normalised by its `target_normalisation`.

    What the plan has frozen is left as it is. Nothing is changed when the sizes or, with a plan, the tensors' names and
    shapes differ (`ExportError`). `input_shape` as in `plan_from_module`, for a bare theta: a plan knows it.
    """
    module = _as_it_was_written(module)
    if not isinstance(trained, Plan) and not hasattr(trained, "__array__"):
        raise ExportError(
            f"load_into_module takes a plan or its parameters, given is a {type(trained).__name__}",
            "give ttzo.read_bundle(DIR), with the folder that `ttzo export` wrote, or the plan of an open device",
        )
    theta = trained.parameters if isinstance(trained, Plan) else np.asarray(trained)
    if isinstance(trained, Plan) and input_shape is None and "input_shape" in trained.metadata:
        input_shape = tuple(trained.metadata["input_shape"])
    targets: list[Target] = []
    with contextlib.suppress(NotAChainError):
        targets += [(name, tensor, None) for name, tensor in tensors_of_module(module)]
    if not targets:
        targets += TracedModel(module, input_shape).targets()
    if isinstance(trained, Plan):
        targets = _without_frozen(trained, targets)
    shapes = [(name, tuple(tensor.shape) if index is None else index.shape) for name, tensor, index in targets]
    size = sum(int(np.prod(shape)) for _, shape in shapes)
    if theta.dtype != np.float32 or theta.shape != (size,):
        raise ExportError(
            f"the module holds {size} parameters, given are {theta.dtype}{list(theta.shape)}",
            "build the module as it was exported",
        )
    if isinstance(trained, Plan):
        _same_tensors(trained, shapes)
    _write(theta, targets)


Target = tuple[str, torch.Tensor, np.ndarray | None]


def _without_frozen(plan: Plan, targets: list[Target]) -> list[Target]:
    """The targets without those that are trained as the module stands and frozen in the plan."""
    frozen = {tensor.name for node in plan.graph.nodes if node.frozen for tensor in node.tensors}
    return [target for target in targets if target[0] not in frozen]


def _write(theta: np.ndarray, targets: list[Target]) -> None:
    """Each tensor, or its numbers at `index`, in the order of theta."""
    at = 0
    with torch.no_grad():
        for _, tensor, index in targets:
            size = tensor.numel() if index is None else index.size
            values = torch.from_numpy(theta[at : at + size].copy())
            if index is None:
                tensor.copy_(values.reshape(tensor.shape))
            else:
                whole = tensor.detach().reshape(-1).clone()
                whole[torch.from_numpy(index.reshape(-1))] = values.to(whole.device)
                tensor.copy_(whole.reshape(tensor.shape))
            at += size


def _same_tensors(plan: Plan, here: list[tuple[str, tuple[int, ...]]]) -> None:
    there = [(tensor.name, tensor.shape) for tensor in plan.tensors]
    for mine, planned in zip(here, there, strict=False):
        if mine != planned:
            raise ExportError(
                f"the module has {mine[0]} {list(mine[1])} where the plan has {planned[0]} {list(planned[1])}",
                "build the module as it was exported",
            )


def _as_it_was_written(module: torch.nn.Module) -> torch.nn.Module:
    """The module itself, of a compiled one the module inside. Raises `ExportError` for what holds no plain parameters."""
    inside = getattr(module, "_orig_mod", None)
    module = inside if isinstance(inside, torch.nn.Module) else module
    if isinstance(module, torch.jit.ScriptModule):
        raise ExportError("the model is TorchScript", "return the nn.Module that it was made of")
    for place, part in module.named_modules():
        quantized = (".quantized." in type(part).__module__) or (".ao.nn." in type(part).__module__)
        if quantized:
            hint = "export the model as it was before; `--frozen int8` makes 8-bit weights"
            raise ExportError(f"layer {place}: {type(part).__name__} is quantized", hint)
    for name, parameter in module.named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise ExportError(f"{name} has no shape yet", "run the model once on a row before you return it")
        if parameter.device.type == "meta":
            raise ExportError(f"{name} has no values: it is on the device meta", "build the model on the CPU")
    return module
