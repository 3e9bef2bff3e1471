# SPDX-License-Identifier: MIT
"""Methods that reach into the network: a signal for each layer's pre-activations, made without the layers after it,
and turned into a gradient of that layer alone.

The layer's own share is linear: a signal delta (rows, units) gives a dense weight delta' h, a tensor train the same
contracted onto its cores.
"""

import math

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.network import ACTIVATIONS, affine, dense_weight, tensors
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.host_tools.research.rivals.zeroth_order import Estimate, Step, gaussian


def walk(batch: Batch, stored: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Inputs and pre-activations (rows, ..) of every layer."""
    inputs, sums = [batch.x], []
    for layer in batch.network.layers:
        sums.append(affine(layer, stored[None], inputs[-1][None])[0])
        inputs.append(ACTIVATIONS[layer.activation](sums[-1]))
    return inputs, sums


def _assemble(batch: Batch, theta: torch.Tensor, inputs: list[torch.Tensor], signals: list[torch.Tensor]):
    """The gradient (n,) whose pre-activations have these derivatives."""
    variable = theta.detach().requires_grad_()
    stored = batch.network.full(variable)[None]
    terms = (
        (affine(layer, stored, h[None])[0] * signal).sum()
        for layer, h, signal in zip(batch.network.layers, inputs, signals, strict=False)
    )
    total = sum(terms, theta.new_zeros(()))
    return torch.autograd.grad(total, variable)[0]


def _derivative(activation: Activation, z: torch.Tensor) -> torch.Tensor:
    return {
        Activation.identity: torch.ones_like,
        Activation.relu: lambda z: (z > 0).to(z.dtype),
        Activation.tanh: lambda z: 1 - torch.tanh(z).square(),
        Activation.sine: torch.cos,
    }[activation](z)


def _error(batch: Batch, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its derivative with respect to the outputs (rows, outputs)."""
    leaf = outputs.detach().requires_grad_()
    loss = batch.loss(leaf[None], batch.y)[0]
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


# ---- feedback alignment ----------------------------------------------------------------------------------------------


def feedback_alignment(batch: Batch, theta: torch.Tensor, step: Step) -> Estimate:
    """FA (Lillicrap et al. 2016): back-propagation with a fixed random matrix B_l in the place of each weight W_l:
    delta_(l-1) = (delta_l B_l) * phi'(z_(l-1))."""
    inputs, sums = walk(batch, batch.network.full(theta))
    loss, signal = _error(batch, sums[-1])
    layers, signals = batch.network.layers, [signal]
    for number in range(len(layers) - 1, 0, -1):
        shape = layers[number].out_features, layers[number].in_features
        feedback = _feedback(step, number, shape, theta.device)
        signal = (signal @ feedback) * _derivative(layers[number - 1].activation, sums[number - 1])
        signals.insert(0, signal)
    batch.count(1, backward=2)
    return Estimate(_assemble(batch, theta, inputs, signals), loss)


def direct_feedback_alignment(batch: Batch, theta: torch.Tensor, step: Step) -> Estimate:
    """DFA (Nokland 2016): every layer gets the output's error e through a fixed random matrix of its own:
    delta_l = (e B_l) * phi'(z_l)."""
    inputs, sums = walk(batch, batch.network.full(theta))
    loss, error = _error(batch, sums[-1])
    signals = []
    for number, layer in enumerate(batch.network.layers[:-1]):
        feedback = _feedback(step, number, (error.shape[1], layer.out_features), theta.device)
        signals.append((error @ feedback) * _derivative(layer.activation, sums[number]))
    batch.count(1, backward=2)
    return Estimate(_assemble(batch, theta, inputs, [*signals, error]), loss)


def _feedback(step: Step, number: int, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Uniform within 1/sqrt(columns), torch's law for a weight of that shape (rows, columns); drawn once."""
    name = f"feedback{number}"
    if name not in step.memory:
        drawn = (2 * torch.rand(shape, generator=step.rng) - 1) / math.sqrt(shape[1])
        step.memory[name] = drawn.to(device)
    return step.memory[name]


def transposed_weights(batch: Batch, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    """The feedback with which `feedback_alignment` is back-propagation: the weights themselves."""
    stored = batch.network.full(theta)[None]
    layers = batch.network.layers
    return {
        f"feedback{number}": dense_weight(layer, tensors(layer, stored))[0].detach()
        for number, layer in enumerate(layers)
        if number
    }


# ---- node perturbation -----------------------------------------------------------------------------------------------


def node_perturbation(
    batch: Batch, theta: torch.Tensor, step: Step, *, n_queries: int = 1, radius: float = 1e-3
) -> Estimate:
    """Gaussian noise on all pre-activations at once, for each row its own, against a pass without it (Williams 1992;
    Dalm et al., arXiv 2310.00965): delta_l = [l(noisy) - l(clean)] / sigma xi_l, for each row's loss l. Layers take their
    inputs from the clean pass. One evaluation a query."""
    stored = batch.network.full(theta)
    inputs, sums = walk(batch, stored)
    before, signals = _row_losses(batch, sums[-1]), [torch.zeros_like(z) for z in sums]
    for _ in range(n_queries):
        noise = [gaussian(1, z, step.rng)[0] for z in sums]
        slopes = (_row_losses(batch, _noisy(batch, stored, [radius * xi for xi in noise])) - before) / radius
        for signal, xi in zip(signals, noise, strict=True):
            signal += slopes[:, None] * xi / (n_queries * len(slopes))
    batch.count(1 + n_queries)
    return Estimate(_assemble(batch, theta, inputs, signals), before.mean())


def _row_losses(batch: Batch, outputs: torch.Tensor) -> torch.Tensor:
    """The loss of each row alone, (rows,)."""
    return torch.vmap(lambda out, y: batch.loss(out[None, None], y[None])[0])(outputs, batch.y)


def _noisy(batch: Batch, stored: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
    """Outputs when each layer's pre-activations are moved by its noise (rows, units)."""
    h = batch.x
    for layer, by in zip(batch.network.layers, noise, strict=True):
        h = ACTIVATIONS[layer.activation](affine(layer, stored[None], h[None])[0] + by)
    return h
