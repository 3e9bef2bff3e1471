# SPDX-License-Identifier: MIT
"""Which parameters a sparse network keeps, decided before training."""

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.host_tools.research.rivals.residual import Residual
from ttzo.host_tools.research.rivals.zeroth_order import Step, rge

TEMPERATURE = 200.0  # of the outputs, in GraSP's own experiments


def grasp_scores(batch: Batch | Residual, theta: torch.Tensor, temperature: float = TEMPERATURE) -> torch.Tensor:
    """-theta * (H g) with g and H of the loss (Wang, Zhang and Grosse, arXiv 2002.07376): how much the gradient's norm
    grows, to first order, when a parameter is set to 0. The largest are pruned. A classifier's outputs are divided by
    the temperature first, as the source does."""
    variable = theta.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(_loss(batch, variable, temperature), variable, create_graph=True)
    (product,) = torch.autograd.grad((gradient * gradient.detach()).sum(), variable)
    return -theta * product


def _loss(batch: Batch | Residual, theta: torch.Tensor, temperature: float) -> torch.Tensor:
    if isinstance(batch, Residual):
        return batch.loss_of(theta)
    return batch.loss(batch.network.outputs(theta[None], batch.x) / temperature, batch.y)[0]


def grasp(batch: Batch | Residual, n_kept: int, at_start: bool = False) -> Network:
    """The batch's network with the `n_kept` parameters of smallest score; biases all stay, and count. The pruned weights
    are zero, as GraSP has it, or stay `at_start`: then only queries and updates are masked, as arXiv 2308.09858 has it."""
    network = batch.network
    weights = torch.cat([weights_of(layer) for layer in network.layers])
    is_bias = torch.ones(network.n, dtype=torch.bool)
    is_bias[weights] = False
    scores = grasp_scores(batch, network.start)[weights]
    chosen = weights[scores.topk(n_kept - int(is_bias.sum()), largest=False).indices]
    return network.pruned(torch.cat([chosen, is_bias.nonzero()[:, 0]]).sort().values, at_start)


def weights_of(layer: Layer) -> torch.Tensor:
    """Places in theta of all but the bias."""
    return torch.cat([torch.arange(t.offset, t.offset + t.size) for t in layer.tensors[: len(layer.core_shapes)]])


def zo_grasp_shares(
    batch: Batch, theta: torch.Tensor, step: Step, density: float, radius: float, n_queries: int
) -> torch.Tensor:
    """The share of each layer's weights that ZO-GraSP keeps when `density` of all weights is kept (DeepZero's layer-wise
    ratios): those of the largest modulus of theta * (g(theta + mu g) - g(theta)) / mu, as its code prunes, with both g
    from the same random directions. (layers,) Raises `TtzoError` for a network that is pruned already."""
    if batch.network.kept is not None:
        raise TtzoError(
            "ZO-GraSP scores whole layers, and this network is pruned", "use the network from before the pruning"
        )
    state = step.rng.get_state()
    here = rge(batch, theta, step, n_queries=n_queries, radius=radius).gradient
    step.rng.set_state(state)
    there = rge(batch, theta + radius * here, step, n_queries=n_queries, radius=radius).gradient
    scores = (theta * (there - here) / radius).abs().cpu()
    places = [weights_of(layer) for layer in batch.network.layers]
    weights, kept = torch.cat(places), torch.zeros(len(theta))
    kept[weights[scores[weights].topk(max(1, round(density * len(weights)))).indices]] = 1
    return torch.stack([kept[part].mean() for part in places])
