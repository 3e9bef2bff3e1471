# SPDX-License-Identifier: MIT
"""One method at work on one network: estimate, update, and everything a later run needs to go on."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.objective import Batch, Loss, cross_entropy
from ttzo.host_tools.research.rivals.zeroth_order import Estimate, Step

Estimator = Callable[[Batch, torch.Tensor, Step], Estimate]
Moments = dict[str, torch.Tensor]


# ---- update rules: what is taken from theta at rate 1 ----------------------------------------------------------------


def sgd(gradient: torch.Tensor, moments: Moments) -> torch.Tensor:
    return gradient


def sign(gradient: torch.Tensor, moments: Moments) -> torch.Tensor:
    return gradient.sign()


def momentum(gradient: torch.Tensor, moments: Moments, beta: float = 0.9) -> torch.Tensor:
    """v = beta v + g."""
    moments["v"] = beta * moments.get("v", 0) + gradient
    return moments["v"]


def ema_momentum(gradient: torch.Tensor, moments: Moments, beta: float = 0.9) -> torch.Tensor:
    """m = beta m + (1 - beta) g, the paper's: steps a tenth as long as `momentum`."""
    moments["v"] = beta * moments.get("v", 0) + (1 - beta) * gradient
    return moments["v"]


def rmsprop(gradient: torch.Tensor, moments: Moments, alpha: float = 0.99) -> torch.Tensor:
    """v = alpha v + (1 - alpha) g^2, begun at 0 and not corrected for it; g / (sqrt(v) + 1e-8)."""
    moments["v"] = alpha * moments.get("v", 0) + (1 - alpha) * gradient.square()
    return gradient / (moments["v"].sqrt() + 1e-8)


def adam(gradient: torch.Tensor, moments: Moments, beta1: float = 0.9, beta2: float = 0.999) -> torch.Tensor:
    """Kingma and Ba, arXiv 1412.6980, bias corrected."""
    t = moments["t"] = moments.get("t", torch.zeros(())) + 1
    moments["m"] = beta1 * moments.get("m", 0) + (1 - beta1) * gradient
    moments["v"] = beta2 * moments.get("v", 0) + (1 - beta2) * gradient.square()
    return moments["m"] / (1 - beta1**t) / ((moments["v"] / (1 - beta2**t)).sqrt() + 1e-8)


# ---- methods ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """An estimator, an update rule and the rate it starts from."""

    estimate: Estimator
    update: Callable[[torch.Tensor, Moments], torch.Tensor]
    rate: float


@dataclass(frozen=True)
class Plateau:
    """When the first phase ends: `patience` windows of `window` steps without the best mean loss falling by the share
    `tolerance`, or `latest` steps (0: no such end)."""

    window: int = 938
    patience: int = 3
    tolerance: float = 0.01
    latest: int = 0


@dataclass(frozen=True)
class Rival:
    """A training method by name. `source` says where it was published; two phases make a hybrid. `loss`: what it lowers
    where classes are learned. `revision`: raised when the method itself is mended, so that no run of before is continued.
    """

    name: str
    source: str
    phases: tuple[Phase, ...]
    plateau: Plateau = Plateau()
    loss: Loss = cross_entropy
    revision: int = 1


class Trainer:
    """Theta under training, on the device of `start`. `step` is asked with a batch and the schedule's factor on the rate.
    Its random numbers come from a generator of the CPU, so that they are the same on every device."""

    def __init__(self, rival: Rival, start: torch.Tensor, seed: int = 0):
        self.rival, self.theta = rival, start.clone()
        self.rng = torch.Generator().manual_seed(seed)
        self.number, self.phase = 0, 0
        self.moments: Moments = {}
        self.memory: dict[str, torch.Tensor] = {}
        self._recent: deque[float] = deque(maxlen=rival.plateau.window)
        self._best, self._idle = float("inf"), 0

    def step(self, batch: Batch, factor: float = 1.0) -> float:
        """One step; returns the loss before it."""
        phase = self.rival.phases[self.phase]
        estimate = phase.estimate(batch, self.theta, Step(phase.rate * factor, self.number, self.rng, self.memory))
        self.theta = self.theta - phase.rate * factor * phase.update(estimate.gradient, self.moments)
        self.number += 1
        loss = float(estimate.loss)
        if self.phase + 1 < len(self.rival.phases) and self._stands_still(loss):
            self.phase, self.moments, self.memory = self.phase + 1, {}, {}
        return loss

    def _stands_still(self, loss: float) -> bool:
        rule = self.rival.plateau
        self._recent.append(loss)
        if rule.latest and self.number >= rule.latest:
            return True
        if self.number % rule.window:
            return False
        mean = sum(self._recent) / len(self._recent)
        self._idle = 0 if mean < self._best * (1 - rule.tolerance) else self._idle + 1
        self._best = min(self._best, mean)
        return self._idle >= rule.patience

    def state(self) -> dict[str, Any]:
        """All that changes, for `torch.save`; `load` goes on from it, on the same device in the same bits."""
        return {
            "theta": self.theta,
            "rng": self.rng.get_state(),
            "number": self.number,
            "phase": self.phase,
            "moments": dict(self.moments),
            "memory": dict(self.memory),
            "plateau": (list(self._recent), self._best, self._idle),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.number, self.phase = state["number"], state["phase"]
        device = self.theta.device
        self.theta = state["theta"].to(device)
        self.moments = {name: value.to(device) for name, value in state["moments"].items()}
        self.memory = {name: value.to(device) for name, value in state["memory"].items()}
        self.rng.set_state(state["rng"])
        recent, self._best, self._idle = state["plateau"]
        self._recent.clear()
        self._recent.extend(recent)
