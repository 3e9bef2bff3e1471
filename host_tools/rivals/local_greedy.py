# SPDX-License-Identifier: MIT
"""LG-FG-A: forward gradients of activities, a local loss for each block and group (Ren et al., arXiv 2210.03310)."""

import math
from dataclasses import dataclass
from functools import cached_property

from ttzo.exporter.nn import seeded, torch
from ttzo.host_tools.rivals.objective import Batch
from ttzo.host_tools.rivals.zeroth_order import Estimate, Step


@dataclass(frozen=True, eq=False)
class LocalNetwork:
    """ReLU blocks, each with a classifier of its own; the last one's answer counts.

    A block of g groups sends each group of units to its own part of the inputs only. Two of them, by the counts of their
    parameters, are the source's: widths 784, 256, 256 with groups 1, 1 (271,892) and 784, 512, 512 with groups 1, 16
    (429,076).
    """

    widths: tuple[int, ...]
    groups: tuple[int, ...]
    classes: int = 10
    seed: int = 0

    @cached_property
    def shapes(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """For each block: weight (groups, units, inputs), bias, classifier, its bias."""
        blocks = zip(self.widths, self.widths[1:], self.groups, strict=False)
        return tuple(((g, m // g, n // g), (m,), (self.classes, m), (self.classes,)) for n, m, g in blocks)

    @cached_property
    def start(self) -> torch.Tensor:
        with seeded(self.seed):
            parts = []
            for weight, bias, head, head_bias in self.shapes:
                parts += [torch.randn(weight) * math.sqrt(2 / weight[2]), torch.zeros(bias)]
                parts += [torch.randn(head) / math.sqrt(head[1]), torch.zeros(head_bias)]
        return torch.cat([part.flatten() for part in parts])

    @property
    def n(self) -> int:
        return sum(math.prod(shape) for block in self.shapes for shape in block)

    n_stored = n
    prepare_macs = 0
    layers = ()

    @property
    def macs(self) -> int:
        return sum(math.prod(shape) for block in self.shapes for shape in block if len(shape) > 1)

    def blocks(self, theta: torch.Tensor) -> list[list[torch.Tensor]]:
        """Theta (n,) as `shapes` has it."""
        sizes = [math.prod(shape) for block in self.shapes for shape in block]
        parts = iter(theta.split(sizes))
        return [[next(parts).reshape(shape) for shape in block] for block in self.shapes]

    def forward(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Rows (B, inputs) -> (B, classes) of the last block."""
        blocks = self.blocks(theta)
        for weight, bias, _, _ in blocks:
            x = torch.relu(_grouped(weight, x) + bias)
        return x @ blocks[-1][2].T + blocks[-1][3]

    def outputs(self, thetas: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Thetas (Q, n) -> (Q, B, classes)."""
        return torch.stack([self.forward(theta, x) for theta in thetas])


def _grouped(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    groups, _, n = weight.shape
    return torch.bmm(x.reshape(len(x), groups, n).transpose(0, 1), weight.mT).transpose(0, 1).flatten(1)


def local_greedy(batch: Batch, theta: torch.Tensor, step: Step) -> Estimate:
    """For each block, row and group: v ~ N(0, I) on the pre-activations z, slope = d loss / d z . v by a forward pass of
    the block's own classifier, delta = slope v, gradient of the weight delta' h. Nothing passes between blocks. The
    classifiers, one layer each, take their exact gradient."""
    h, gradient = batch.x, []
    for (weight, bias, head, head_bias), groups in zip(batch.network.blocks(theta), batch.network.groups, strict=True):
        z = _grouped(weight, h) + bias
        out = torch.relu(z)
        outputs = out @ head.T + head_bias
        error = (outputs.softmax(1) - torch.nn.functional.one_hot(batch.y, outputs.shape[1])) / len(h)
        v = torch.randn(z.shape, generator=step.rng)
        tangent = (v * (z > 0)).reshape(len(h), groups, -1)  # of the activities
        slopes = torch.einsum("bgu,cgu,bc->bg", tangent, head.reshape(len(head), groups, -1), error)
        delta = (slopes[..., None] * v.reshape(tangent.shape)).flatten(1)
        by_group = torch.bmm(
            delta.reshape(len(h), groups, -1).permute(1, 2, 0), h.reshape(len(h), groups, -1).transpose(0, 1)
        )
        gradient += [by_group, delta.sum(0), error.T @ out, error.sum(0)]
        h = out
    batch.count(1, backward=2)
    loss = batch.loss(outputs[None], batch.y)[0]
    return Estimate(torch.cat([part.flatten() for part in gradient]), loss)
