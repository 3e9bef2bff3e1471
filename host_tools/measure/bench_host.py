# SPDX-License-Identifier: MIT
"""Loss evaluations a second of processor time on this machine: the C runtime against torch, one thread each, in the same
run. Time that other programs take of the processor does not count."""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Activation, Combine, Direction, Estimator, LayerKind, Loss, Region
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE, read_inputs

SECONDS = 1.0  # of processor time that each side is measured for, at least
QUERIES = 32  # loss evaluations of a step, and one


@dataclass(frozen=True)
class HostRate:
    """Loss evaluations (one batch at one parameter vector) a second of processor time."""

    native: float
    torch: float

    @property
    def ratio(self) -> float:
        return self.native / self.torch


def host_rate(plan: Plan, rows: np.ndarray) -> HostRate:
    """Times `plan` on the rows uint8 [>= batch, row_bytes]: random-direction steps of `native:` (their noise included),
    and the same number of evaluations of the same network in torch, its parameters changed in between."""
    return HostRate(_native(plan, rows[: plan.batch]), _torch(plan, rows[: plan.batch]))


def _rate(seconds_of: Callable[[int], float]) -> float:
    """Runs a second of processor time. `seconds_of(n)` does n runs and gives what they took, start and end included."""
    once, n = seconds_of(1), 2
    while (seconds := seconds_of(n) - once) < SECONDS:
        n *= 2
    return (n - 1) / seconds


def _native(plan: Plan, rows: np.ndarray) -> float:
    phase = Phase(Estimator.rge, Direction.rademacher, n_queries=QUERIES, learning_rate=0.0, perturb_radius=1e-4)
    timed = dataclasses.replace(plan, training=Training((phase,), steps=1))
    with tempfile.TemporaryDirectory(prefix="ttzo-bench-") as folder:
        (Path(folder) / BUNDLE).write_bytes(to_bundle.write(timed))

        def seconds_of(n: int) -> float:
            """Of the device's process, which counts once it has ended."""
            before = _seconds_of_children()
            with open_device("native:", folder) as device:
                device.write_dataset(rows)
                for _ in range(n):
                    device.step(Region.dataset)
            return _seconds_of_children() - before

        seconds_of(1)  # it may have to be compiled
        return (QUERIES + 1) * _rate(seconds_of)


def _seconds_of_children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system


def _torch(plan: Plan, rows: np.ndarray) -> float:
    from ttzo.exporter.readers.nn import torch

    torch.set_num_threads(1)
    network = torch.nn.Sequential(*(part for layer in plan.layers for part in _modules(layer)))
    input_bytes = plan.in_features * NUMBER_DTYPE[plan.input_number].itemsize
    raw = np.ascontiguousarray(rows[:, :input_bytes]).view(NUMBER_DTYPE[plan.input_number])
    targets = np.ascontiguousarray(rows[:, input_bytes:])
    x = torch.from_numpy(read_inputs(plan, raw))
    if plan.loss == Loss.cross_entropy:
        y = torch.from_numpy(targets.view("<u2")[:, 0].astype(np.int64))
        loss: Callable[..., torch.Tensor] = torch.nn.functional.cross_entropy
    else:
        y, loss = torch.from_numpy(targets.view("<f4").copy()), torch.nn.functional.mse_loss

    def evaluate() -> None:
        for parameter in network.parameters():
            parameter.mul_(1.0)
        loss(network(x), y)

    def seconds_of(n: int) -> float:
        before = time.process_time()
        for _ in range(n):
            evaluate()
        return time.process_time() - before

    with torch.no_grad():
        return _rate(seconds_of)


def _modules(layer: Layer) -> list:
    from ttzo.exporter.readers.nn import Sine, torch

    kinds = {Activation.relu: torch.nn.ReLU, Activation.tanh: torch.nn.Tanh, Activation.sine: Sine}
    return [*_affine(layer), *([kinds[layer.activation]()] if layer.activation in kinds else [])]


def _affine(layer: Layer) -> list:
    """The layer in torch, with what reshapes its rows and outputs."""
    from ttzo.exporter.readers.nn import Tokens, TTConv2d, TTEmbedding, TTLinear, torch

    gather, n_in, n_out, dense = layer.gather, layer.in_features, layer.out_features, layer.kind == LayerKind.dense
    form = "matrix" if layer.kind == LayerKind.tt_matrix else "tensor"
    train: dict[str, Any] = dict(
        in_modes=layer.in_modes, out_modes=layer.out_modes, ranks=layer.ranks[1:-1], format=form
    )
    made: torch.nn.Module
    if isinstance(gather, Patches):
        how = gather.channels, n_out, gather.kernel, gather.stride, gather.padding
        made = torch.nn.Conv2d(*how, bias=layer.has_bias) if dense else TTConv2d(*how, bias=layer.has_bias, **train)
        return [torch.nn.Unflatten(1, (gather.channels, gather.height, gather.width)), made, torch.nn.Flatten()]
    if gather:
        tokens = layer.tokens
        mode, padding = tokens.combine.name, tokens.padding
        if not dense:
            made = TTEmbedding(n_in, n_out, mode, padding, **train)
        elif tokens.combine == Combine.each:
            made = torch.nn.Embedding(n_in, n_out, padding)
        else:
            made = torch.nn.EmbeddingBag(n_in, n_out, mode=mode, padding_idx=padding)
        return [Tokens(tokens.count), made, torch.nn.Flatten()]
    if dense:
        return [torch.nn.Linear(n_in, n_out, layer.has_bias)]
    return [TTLinear(n_in, n_out, bias=layer.has_bias, **train)]
