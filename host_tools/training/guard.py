# SPDX-License-Identifier: MIT
"""The guard of a run: it looks at the batch losses and says when the run has gone astray, and which parameters to go back to.

What it says is a function of the losses alone, as the metrics file holds them, so that a run that goes on from a
checkpoint gets the same answers by showing them to a new guard. It sees neither test rows nor validation rows.
"""

import math
from dataclasses import dataclass
from enum import Enum

WINDOW = 50  # steps whose mean loss is judged
HALVINGS = 5  # of the rate; then the run has diverged
CLIMB = 0.5  # how far the mean loss may climb above its best, in parts of the scale
UNKNOWN_SCALE = 4.0  # of an equation's residuals, in parts of the first loss: they have no best constant


class Verdict(Enum):
    """What to do after a step."""

    go_on = "go on"
    keep = "keep these parameters: the last window was the best"
    go_back = "go back to the kept parameters with half the rate"
    give_up = "the rate was halved often enough: the run has diverged"


@dataclass(frozen=True)
class Event:
    """One return: after `step` steps the parameters became those after `back_to` steps, `loss` is the mean that was too
    high (None: it was not finite)."""

    step: int
    back_to: int
    loss: float | None


class Guard:
    """Shown each step's loss in order. `constant`: the loss of the best constant answer, None where there is none."""

    def __init__(self, constant: float | None = None, start: int = 0):
        self.constant, self.kept_step = constant, start
        self.events: list[Event] = []
        self._best: float | None = None
        self._scale = constant or 0.0
        self._sum, self._n = 0.0, 0

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by."""
        return 0.5 ** len(self.events)

    @property
    def limit(self) -> float:
        """The mean loss of a window from which the run is astray; infinite before the first loss."""
        return math.inf if self._best is None else self._best + CLIMB * self._scale

    def see(self, step: int, loss: float) -> Verdict:
        """After step number `step` (from 1)."""
        if self._best is None:
            self._best = max(loss, self.constant or 0.0)
            self._scale = max(self._scale, loss if self.constant else UNKNOWN_SCALE * loss)
        self._sum, self._n = self._sum + loss, self._n + 1
        if step % WINDOW:
            return Verdict.go_on
        mean = self._sum / self._n
        if not mean <= self.limit:
            return self.went_astray(step, mean)
        self._sum, self._n = 0.0, 0
        if mean > self._best:
            return Verdict.go_on
        self._best, self.kept_step = mean, step
        return Verdict.keep

    def went_astray(self, step: int, loss: float | None = None) -> Verdict:
        """After `step` steps: the mean loss is too high, or (None) the next step's is not finite."""
        self._sum, self._n = 0.0, 0
        if len(self.events) == HALVINGS:
            return Verdict.give_up
        self.events.append(Event(step, self.kept_step, loss))
        return Verdict.go_back


def describe(event: Event, rate: float) -> str:
    """An event in a sentence."""
    what = "the loss became not finite" if event.loss is None else f"the mean loss climbed to {event.loss:.4g}"
    return (
        f"{what} after step {event.step}: back to the parameters of step {event.back_to}, rate times {rate:g} from here"
    )
