# SPDX-License-Identifier: MIT
"""How far a network's derivatives in float32 lie from automatic differentiation (torch) in double, at the same float32
parameters and points.

The quantities are the network's output N, all its first derivatives taken as one vector, and what its equation reads of
the second ones: their sum over space, or all of them as one vector. `relative` is the error's root mean square over the
points divided by that of the quantity itself.
"""

from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, Need, Stream
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers.tensor_train import dense_weight
from ttzo.host_tools.reference.equations import pde
from ttzo.host_tools.reference.equations.derive import Derivatives, Noise, derive

N_POINTS, POINTS_SEED = 1000, 12345
POINTS_AT_ONCE = 50


@dataclass(frozen=True)
class DerivativeError:
    """Root mean squares over points: of the error and of the quantity."""

    quantity: str
    error: float
    size: float

    @property
    def relative(self) -> float:
        return self.error / self.size if self.size else float("inf")


def derivative_errors(plan: Plan, theta: np.ndarray, n_points: int = N_POINTS) -> tuple[DerivativeError, ...]:
    """The plan's derivatives at parameters `theta` against their double values, at points uniform in the domain. Needs
    torch. Of `sparse_grid`, `monte_carlo` and `finite_difference` the error includes that of the method itself."""
    points = pde.points_in_box(plan, Stream.validation, POINTS_SEED, 0, np.arange(n_points))
    needs = plan.equation.needs or Need.laplacian
    found = _derived(plan, theta, needs, points)
    exact = automatic(plan, theta, points)
    pairs = [("N", found.value, exact.value), ("first derivatives", found.first, exact.first)]
    if needs & Need.diagonal:
        pairs.append(("second derivatives", found.diagonal, exact.diagonal))
    if needs & Need.laplacian:
        pairs.append(("Laplacian", found.laplacian, exact.laplacian))
    return tuple(
        DerivativeError(name, _rms(ours - golden), _rms(golden))
        for name, ours, golden in pairs
        if ours is not None and golden is not None
    )


def _derived(plan: Plan, theta: np.ndarray, needs: int, points: np.ndarray) -> Derivatives:
    """What `derive` gives at all points, some at a time: their columns should fit a processor's cache."""
    parts = []
    for first in range(0, points.shape[1], POINTS_AT_ONCE):
        rows = np.arange(first, min(first + POINTS_AT_ONCE, points.shape[1]))
        parts.append(derive(plan, theta, len(plan.layers), needs, points[:, rows], Noise(0, 0, rows)))

    def whole(kind: str) -> np.ndarray | None:
        found = [getattr(part, kind) for part in parts]
        return None if found[0] is None else np.concatenate(found, axis=-1)

    return Derivatives(
        np.concatenate([part.value for part in parts], axis=-1), whole("first"), whole("laplacian"), whole("diagonal")
    )


def _rms(values: np.ndarray) -> float:
    """Over points, which are the last axis; other axes are components of one vector."""
    return float(np.sqrt(np.square(values, dtype=np.float64).reshape(-1, values.shape[-1]).sum(axis=0).mean()))


def automatic(plan: Plan, theta: np.ndarray, points: np.ndarray) -> Derivatives:
    """The network's derivatives at points [inputs, n] by torch in double: arrays as `derive` gives them."""
    from ttzo.exporter.readers.nn import torch

    kinds = {
        Activation.identity: lambda z: z,
        Activation.relu: torch.relu,
        Activation.tanh: torch.tanh,
        Activation.sine: torch.sin,
    }
    x = torch.tensor(points.T.astype(np.float64), requires_grad=True)
    state = x * float(np.float32(plan.input_scale)) + float(np.float32(plan.input_offset))
    for layer in plan.layers:
        tensors = [theta[t.offset : t.offset + t.size].reshape(t.shape).astype(np.float64) for t in layer.tensors]
        bias = tensors.pop() if layer.has_bias else np.zeros(layer.out_features)
        weight = tensors[0] if layer.kind == LayerKind.dense else dense_weight(layer, tensors)
        state = kinds[layer.activation](state @ torch.tensor(weight).T + torch.tensor(bias))
    value = state[:, 0]
    first = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
    second = np.array([_slope(torch, first[:, i], x)[:, i].numpy() for i in range(x.shape[1])])
    laplacian = second[: plan.equation.n_space].sum(axis=0)
    of_first = first.detach().numpy().T[:, None]
    return Derivatives(value.detach().numpy()[None], of_first, laplacian[None], second[:, None])


def _slope(torch, of, x):
    """Zeros where `of` does not depend on x, as after a linear network."""
    if not of.requires_grad:
        return torch.zeros_like(x).detach()
    return torch.autograd.grad(of.sum(), x, retain_graph=True)[0]
