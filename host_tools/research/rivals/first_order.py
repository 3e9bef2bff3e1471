# SPDX-License-Identifier: MIT
"""Gradients by differentiation: backwards (the golden reference), or forwards along a random direction."""

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.host_tools.research.rivals.zeroth_order import Estimate, Step, gaussian


def back_propagation(batch: Batch, theta: torch.Tensor, step: Step) -> Estimate:
    """The exact gradient."""
    loss, gradient = batch.loss_and_gradient(theta)
    return Estimate(gradient, loss)


def forward_gradient(batch: Batch, theta: torch.Tensor, step: Step, *, n_queries: int = 1) -> Estimate:
    """Baydin et al., arXiv 2202.08587: g = (grad L . v) v with v ~ N(0, I), the slope by one pass of forward-mode
    differentiation: unbiased. With more queries, their mean."""
    gradient = torch.zeros_like(theta)
    for v in gaussian(n_queries, theta, step.rng):
        loss, slope = batch.slope(theta, v)
        gradient += slope * v / n_queries
    return Estimate(gradient, loss)
