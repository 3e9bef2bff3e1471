# SPDX-License-Identifier: MIT
"""The loss of one mini-batch as a function of theta: asked for at many vectors, along directions, or with its gradient.

What is asked is counted, so that methods can be compared: a *loss evaluation* is one whole batch at one theta.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.network import Network

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LARGEST_STACK = 1 << 23  # numbers of the hidden layers and weights that one call evaluates at once


@dataclass
class Cost:
    """What a run has spent: loss evaluations, multiply-accumulates of forward passes and of everything else."""

    evaluations: int = 0
    macs: int = 0


def cross_entropy(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Outputs (Q, B, classes), classes (B,) -> (Q,), means over the batch."""
    picked = outputs.gather(2, y.expand(len(outputs), -1)[..., None])[..., 0]
    return (outputs.logsumexp(2) - picked).mean(1)


def logistic(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of each output's logistic function with "is it this class", summed over the outputs: shapes as
    `cross_entropy`."""
    picked = outputs.gather(2, y.expand(len(outputs), -1)[..., None])[..., 0]
    return (torch.nn.functional.softplus(outputs).sum(2) - picked).mean(1)


def mean_square(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Outputs (Q, B, k), targets (B, k) -> (Q,)."""
    return (outputs - y).square().mean((1, 2))


@dataclass
class Batch:
    """The objective of supervised learning on rows x (B, inputs) with targets y."""

    network: Network
    x: torch.Tensor
    y: torch.Tensor
    cost: Cost = field(default_factory=Cost)
    loss: Loss = cross_entropy

    @property
    def forward_macs(self) -> int:
        """Multiply-accumulates of one loss evaluation."""
        return len(self.x) * self.network.macs + self.network.prepare_macs

    def losses(self, thetas: torch.Tensor) -> torch.Tensor:
        """Thetas (Q, n) -> losses (Q,), without a graph. Counts Q evaluations."""
        self.count(len(thetas))
        with torch.no_grad():
            return torch.cat([self._loss(part) for part in thetas.split(self._at_once)])

    def loss_and_gradient(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """By back-propagation: counted as the operations of three evaluations, one of which is a loss."""
        self.count(1, backward=2)
        variable = theta.detach().requires_grad_()
        loss = self._loss(variable[None])[0]
        (gradient,) = torch.autograd.grad(loss, variable)
        return loss.detach(), gradient

    def slope(self, theta: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and its exact derivative along `direction` by forward-mode differentiation, at twice the operations."""
        self.count(1, backward=1)
        loss, derivative = torch.func.jvp(  # type: ignore[misc]  # without has_aux it returns two
            lambda t: self._loss(t[None])[0], (theta,), (direction,)
        )
        return loss.detach(), derivative.detach()

    def count(self, evaluations: int, backward: int = 0) -> None:
        self.cost.evaluations += evaluations
        self.cost.macs += (evaluations + backward) * self.forward_macs

    def _loss(self, thetas: torch.Tensor) -> torch.Tensor:
        return self.loss(self.network.outputs(thetas, self.x), self.y)

    @property
    def _at_once(self) -> int:
        widest = sum(layer.out_features for layer in self.network.layers) * len(self.x)
        return max(1, LARGEST_STACK // (4 * widest + self.network.n_stored))
