# SPDX-License-Identifier: MIT
"""The guard of a run: it says when the loss has gone astray, and after which step the parameters were best.

It looks at the loss of validation rows where there are any, each time that they are measured, else at the mean loss of a
window of batches; never at test rows. All that it knows stands in the metrics file: `replay` brings a new guard to
where the run stands.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

WINDOW = 50  # steps of one look where there are no validation rows, and at most
WINDOWS = 10  # the run's steps divided by this
HALVINGS = 5  # of the rate; then the run has diverged
CLIMB = 0.5  # how far the loss may climb above its best, in parts of the scale
UNKNOWN_SCALE = 4.0  # of an equation's residuals, in parts of the first loss: they have no best constant


class Verdict(Enum):
    """What to do after a step."""

    go_on = "go on"
    keep = "keep these parameters: they are the best"
    go_back = "go back to the kept parameters with half the rate"
    give_up = "go back and end: the rate was halved often enough"


ASTRAY = (Verdict.go_back, Verdict.give_up)


class Kind(IntEnum):
    """Of an event; the code in the metrics file."""

    halved = 1  # back to the kept parameters, with half the rate
    gave_up = 2  # back to the kept parameters; the run ends as diverged
    stopped_early = 3  # the validation loss has not fallen for as many looks as were asked for
    kept_best = 4  # back to the kept parameters at the end of the run
    new_rate = 5  # the person gave another rate: halvings are counted anew


OF_RETURN = (Kind.halved, Kind.gave_up)


@dataclass(frozen=True)
class Event:
    """After `step` steps the parameters became those after `back_to` steps. `loss` was too high; None: not finite."""

    step: int
    kind: Kind
    back_to: int
    loss: float | None = None


class Guard:
    """Of one run. `constant`: the loss of the best constant answer to the training rows, None where there is none;
    `steps`: of the run."""

    def __init__(self, constant: float | None = None, steps: int = WINDOW * WINDOWS):
        self.constant = constant
        self.window = min(WINDOW, max(1, steps // WINDOWS))
        self.kept_step = 0
        self.events: list[Event] = []
        self.looks_since_best = 0
        self._halvings = 0
        self._best: float | None = None
        self._scale = 0.0
        self._losses: list[float] = []  # since the last look

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by."""
        return 0.5**self._halvings

    @property
    def is_lost(self) -> bool:
        """The rate was halved, and nothing better than the start was found."""
        return self._halvings > 0 and self.kept_step == 0

    @property
    def limit(self) -> float:
        """The loss from which the run is astray; infinite before the first step."""
        if self._best is None:
            return math.inf
        is_below_constant = self.constant is not None and self._best < self.constant
        return self._best + CLIMB * ((self.constant or 0.0) if is_below_constant else self._scale)

    def add(self, loss: float) -> None:
        """The batch loss of the next step."""
        if self._best is None:
            self._best = max(loss, self.constant or 0.0)
            self._scale = max(self._best, loss if self.constant else UNKNOWN_SCALE * loss)
        self._losses.append(loss)

    def window_mean(self, step: int, is_last: bool) -> float | None:
        """The loss to judge after `step` steps where there are no validation rows; None within a window."""
        return None if step % self.window and not is_last else math.fsum(self._losses) / len(self._losses)

    def judge(self, step: int, loss: float) -> Verdict:
        """The loss of a look after `step` steps."""
        if not loss <= self.limit:
            return self.went_astray(step, loss)
        self._losses.clear()
        self.looks_since_best += 1
        if self._best is None or loss > self._best:
            return Verdict.go_on
        self._best, self.kept_step, self.looks_since_best = loss, step, 0
        return Verdict.keep

    def went_astray(self, step: int, loss: float | None = None) -> Verdict:
        """After `step` steps: the loss is too high, or (None) it is not finite."""
        self._losses.clear()
        self.looks_since_best += 1
        gives_up = self._halvings == HALVINGS
        self._halvings += not gives_up
        self.happened(Kind.gave_up if gives_up else Kind.halved, step, loss)
        return Verdict.give_up if gives_up else Verdict.go_back

    def happened(self, kind: Kind, step: int, loss: float | None = None) -> Event:
        """An event at the kept parameters."""
        if kind == Kind.new_rate:
            self._halvings = 0
        self.events.append(Event(step, kind, self.kept_step, loss))
        return self.events[-1]

    def replay(self, rows: Iterable[Mapping[str, float | None]]) -> None:
        """Shows the guard the rows of a metrics file (metrics.py), in order."""
        is_known = False  # the event of the next row: it follows from the loss of the last one
        for row in rows:
            step, event = int(row["step"] or 0), row["event"]
            if event is None:
                self.add(row["loss"] or 0.0)
                is_known = row["judged"] is not None and self.judge(step, row["judged"]) in ASTRAY
            elif is_known:
                is_known = False
            elif event in OF_RETURN:
                self.went_astray(step)
            else:
                self.happened(Kind(int(event)), step)


def describe(event: Event, rates: str) -> str:
    """An event in a sentence; `rates` are the learning rates from there on."""
    back = f"back to the parameters of step {event.back_to}"
    if event.kind == Kind.stopped_early:
        return f"stopped after step {event.step}: the validation loss was lowest after step {event.back_to}"
    if event.kind == Kind.kept_best:
        return f"{back}: their validation loss was the lowest"
    if event.kind == Kind.new_rate:
        return f"learning rate {rates} from step {event.step} on"
    is_finite = event.loss is not None and math.isfinite(event.loss)
    what = f"the loss climbed to {event.loss:.4g}" if is_finite else "the loss was not finite"
    then = "" if event.kind == Kind.gave_up else f", and on with half the learning rate ({rates})"
    return f"{what} after step {event.step}: {back}{then}"
