# SPDX-License-Identifier: MIT
"""Forward gradients with local losses (Ren et al., arXiv 2210.03310): LG-FG-A perturbs activities, FG-W weights.

Read in its authors' published code. What the paper says of MNIST beyond the networks (its rate, epochs and batch) is
not in it: the schedule is this project's.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

from ttzo.exporter.readers.nn import seeded, torch
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.host_tools.research.rivals.zeroth_order import Estimate, Step, gaussian

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's inputs in 0..1
LARGEST_START = 0.1
EPSILON = 1e-5


@dataclass(frozen=True, eq=False)
class LocalNetwork:
    """The source's LocalMixer of one block and one patch: inputs -> width, then width -> width in `groups` that do not
    see each other, each layer with a norm without parameters (over the layer; over each group) and ReLU after it.

    Two classifiers read the block: one has the block's own loss, the other answers. S/1/1 is 256 wide in one group
    (271,892 parameters), M/1/16 512 wide in 16 (429,076).
    """

    inputs: int
    width: int
    groups: int
    classes: int = 10
    seed: int = 0
    device: torch.device = torch.device("cpu")

    def to(self, device: torch.device) -> "LocalNetwork":
        """The same network with its start on that device."""
        return dataclasses.replace(self, device=device)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Weight and bias of: first layer, second layer (groups, units, inputs), the block's classifier, the answer's."""
        m, g, c = self.width, self.groups, self.classes
        return (m, self.inputs), (m,), (g, m // g, m // g), (m,), (c, m), (c,), (c, m), (c,)

    @cached_property
    def start(self) -> torch.Tensor:
        """Weights N(0, min(2 / sqrt(inputs), 0.1)), biases and the answer's classifier 0."""
        with seeded(self.seed):
            parts = [
                torch.randn(shape) * min(2 / math.sqrt(shape[-1]), LARGEST_START)
                if len(shape) > 1
                else torch.zeros(shape)
                for shape in self.shapes
            ]
        parts[-2].zero_()
        return torch.cat([part.flatten() for part in parts]).to(self.device)

    @property
    def n(self) -> int:
        return sum(map(math.prod, self.shapes))

    n_stored = n
    prepare_macs = 0
    layers = ()

    @property
    def macs(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes if len(shape) > 1)

    def parts(self, theta: torch.Tensor) -> list[torch.Tensor]:
        """Theta (n,) as `shapes` has it."""
        parts = theta.split([math.prod(shape) for shape in self.shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Rows (B, inputs) in 0..1 -> (B, classes)."""
        parts = self.parts(theta)
        return Walk(parts, x).out.flatten(1) @ parts[6].T + parts[7]

    def outputs(self, thetas: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Thetas (Q, n) -> (Q, B, classes)."""
        return torch.stack([self.forward(theta, x) for theta in thetas])


class Norm:
    """z -> (z - mean) / deviation over the last axis, and its derivative, which is symmetric: a tangent goes forwards
    through `derivative` and a signal backwards through the same."""

    def __init__(self, z: torch.Tensor):
        centred = z - z.mean(-1, keepdim=True)
        self.inverse = (centred.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
        self.value = centred * self.inverse

    def derivative(self, d: torch.Tensor) -> torch.Tensor:
        along = (d * self.value).mean(-1, keepdim=True)
        return self.inverse * (d - d.mean(-1, keepdim=True) - self.value * along)


class Walk:
    """Rows through the block, with all that a tangent or a signal needs. first: (B, width); second: (B, groups, units)."""

    def __init__(self, parts: list[torch.Tensor], x: torch.Tensor):
        self.groups = len(parts[2])
        self.x = (x - MEAN) / DEVIATION
        self.first = Norm(self.x @ parts[0].T + parts[1])
        self.h = torch.relu(self.first.value)
        self.second = Norm(self.grouped(self.h, parts[2]) + self.split(parts[3]))
        self.out = torch.relu(self.second.value)

    def split(self, units: torch.Tensor) -> torch.Tensor:
        """(.., width) -> (.., groups, units)."""
        return units.unflatten(-1, (self.groups, -1))

    def grouped(self, h: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Each group of h (B, width) through its own weight: (B, groups, units)."""
        return torch.einsum("bgi,gui->bgu", self.split(h), weight)

    def signals(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        """Gradients of the four tensors of the block, from the derivatives (B, width), (B, groups, units) by what comes
        out of the norms."""
        first = self.first.derivative(first)
        second = self.second.derivative(second)
        by_group = torch.einsum("bgu,bgi->gui", second, self.split(self.h))
        return [first.T @ self.x, first.sum(0), by_group, second.sum(0).flatten()]


def _classifier(batch: Batch, out: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
    """Outputs, the mean loss's derivative by them (B, classes), and the exact gradient of the classifier."""
    outputs = out @ weight.T + bias
    error = (outputs.softmax(1) - torch.nn.functional.one_hot(batch.y, outputs.shape[1])) / len(out)
    return outputs, error, [error.T @ out, error.sum(0)]


def local_greedy(batch: Batch, theta: torch.Tensor, step: Step) -> Estimate:
    """LG-FG-A: v ~ N(0, I) for each row after both norms at once; one pass of forward-mode differentiation of the
    block's loss gives each row and group its slope; the slope times v (0 where ReLU is), taken backwards through the
    norm, is the signal of a layer. The classifiers take their exact gradient, as in the source."""
    parts = batch.network.parts(theta)  # type: ignore[attr-defined]  # of a LocalNetwork
    walk = Walk(parts, batch.x)
    out = walk.out.flatten(1)
    _, error, head = _classifier(batch, out, *parts[4:6])
    outputs, _, answer = _classifier(batch, out, *parts[6:])
    v_first = gaussian(1, walk.h, step.rng)[0] * (walk.h > 0)
    v_second = gaussian(1, walk.out, step.rng)[0] * (walk.out > 0)
    tangent = walk.second.derivative(walk.grouped(v_first, parts[2])) * (walk.out > 0) + v_second
    slopes = torch.einsum("bgu,cgu,bc->bg", tangent, walk.split(parts[4]), error)[..., None]
    block = walk.signals((slopes * walk.split(v_first)).flatten(1), slopes * v_second)
    return _estimate(batch, outputs, [*block, *head, *answer])


def forward_gradient_of_block(batch: Batch, theta: torch.Tensor, step: Step) -> Estimate:
    """FG-W: one direction v ~ N(0, I) for the block's weights, the slope of the answer's loss along it by forward-mode
    differentiation, gradient slope times v; the classifiers take their exact gradient, as in the source."""
    parts = batch.network.parts(theta)  # type: ignore[attr-defined]  # of a LocalNetwork
    walk = Walk(parts, batch.x)
    out = walk.out.flatten(1)
    _, _, head = _classifier(batch, out, *parts[4:6])
    outputs, error, answer = _classifier(batch, out, *parts[6:])
    v = [gaussian(1, part, step.rng)[0] for part in parts[:4]]
    tangent = walk.first.derivative(walk.x @ v[0].T + v[1]) * (walk.h > 0)
    tangent = walk.grouped(tangent, parts[2]) + walk.grouped(walk.h, v[2]) + walk.split(v[3])
    tangent = (walk.second.derivative(tangent) * (walk.out > 0)).flatten(1)
    slope = (tangent @ parts[6].T * error).sum()
    return _estimate(batch, outputs, [*(slope * each for each in v), *head, *answer])


def _estimate(batch: Batch, outputs: torch.Tensor, gradient: list[torch.Tensor]) -> Estimate:
    batch.count(1, backward=2)
    return Estimate(torch.cat([part.flatten() for part in gradient]), batch.loss(outputs[None], batch.y)[0])
