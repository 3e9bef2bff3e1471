# SPDX-License-Identifier: MIT
"""Loss evaluations a second on this machine: the C runtime against torch, one thread each, in the same run."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Activation, Direction, Estimator, LayerKind, Loss, Region
from ttzo.exporter import to_bundle
from ttzo.exporter.plan import Layer, Phase, Plan, Training
from ttzo.host_tools.device import BUNDLE, open_device
from ttzo.host_tools.reference.network import NUMBER_DTYPE, read_inputs

SECONDS = 1.0  # how long each side is measured
QUERIES = 32  # loss evaluations between two readings of the clock, and one


@dataclass(frozen=True)
class HostRate:
    """Loss evaluations (one batch at one parameter vector) a second; the best of several readings."""

    native: float
    torch: float

    @property
    def ratio(self) -> float:
        return self.native / self.torch


def host_rate(plan: Plan, rows: np.ndarray) -> HostRate:
    """Times `plan` on the rows uint8 [>= batch, row_bytes]: random-direction steps of `native:` (their noise included),
    and the same number of evaluations of the same network in torch, its parameters changed in between."""
    return HostRate(_native(plan, rows[: plan.batch]), _torch(plan, rows[: plan.batch]))


def _best(run: Callable[[], object]) -> float:
    """Runs a second in the fastest of the readings."""
    run()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return 1 / best


def _native(plan: Plan, rows: np.ndarray) -> float:
    phase = Phase(Estimator.rge, Direction.rademacher, n_queries=QUERIES, learning_rate=0.0, perturb_radius=1e-4)
    timed = dataclasses.replace(plan, training=Training((phase,), steps=1))
    with tempfile.TemporaryDirectory(prefix="ttzo-bench-") as folder:
        (Path(folder) / BUNDLE).write_bytes(to_bundle.write(timed))
        with open_device("native:", folder) as device:
            device.write_dataset(rows)
            return (QUERIES + 1) * _best(lambda: device.step(Region.dataset))


def _torch(plan: Plan, rows: np.ndarray) -> float:
    from ttzo.exporter.nn import torch

    torch.set_num_threads(1)
    network = torch.nn.Sequential(*(part for layer in plan.layers for part in _modules(layer)))
    input_bytes = plan.in_features * NUMBER_DTYPE[plan.input_number].itemsize
    raw = np.ascontiguousarray(rows[:, :input_bytes]).view(NUMBER_DTYPE[plan.input_number])
    targets = np.ascontiguousarray(rows[:, input_bytes:])
    x = torch.from_numpy(read_inputs(plan, raw))
    if plan.loss == Loss.cross_entropy:
        y, loss = torch.from_numpy(targets.view("<u2")[:, 0].astype(np.int64)), torch.nn.functional.cross_entropy
    else:
        y, loss = torch.from_numpy(targets.view("<f4").copy()), torch.nn.functional.mse_loss

    def evaluate() -> None:
        for parameter in network.parameters():
            parameter.mul_(1.0)
        loss(network(x), y)

    with torch.no_grad():
        return _best(evaluate)


def _modules(layer: Layer) -> list:
    from ttzo.exporter.nn import Sine, TTLinear, torch

    if layer.kind == LayerKind.dense:
        affine = torch.nn.Linear(layer.in_features, layer.out_features, layer.has_bias)
    else:
        form = "matrix" if layer.kind == LayerKind.tt_matrix else "tensor"
        modes = (layer.in_modes, layer.out_modes, layer.ranks[1:-1])
        affine = TTLinear(layer.in_features, layer.out_features, *modes, form, layer.has_bias)
    kinds = {Activation.relu: torch.nn.ReLU, Activation.tanh: torch.nn.Tanh, Activation.sine: Sine}
    return [affine, *([kinds[layer.activation]()] if layer.activation in kinds else [])]
