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
CLIMB = 0.15  # how far the loss may climb above its best, in parts of the scale, besides what chance does
START_CLIMB = 0.5  # the same before the first best: a fresh network may be worse than a constant for a while
CHANCE = 1.0  # the same for a look at a single row; of n rows it is 1 / sqrt(n) of that
STILL = 3  # looks whose mean loss does not fall below that of as many before: it stands still
STILL_RATIO = 0.97  # of these means
STILL_SCALE = (0.25, 0.9)  # in parts of the best constant's loss, between which standing still is worth a smaller rate
UNKNOWN_SCALE = 4.0  # of an equation's residuals, in parts of the first loss: they have no best constant


class Verdict(Enum):
    """What to do after a step."""

    go_on = "go on"
    keep = "keep these parameters: they are the best"
    go_back = "go back to the kept parameters with half the rate"
    give_up = "go back, and end: the rate was halved often enough"


ASTRAY = (Verdict.go_back, Verdict.give_up)


class Kind(IntEnum):
    """Of an event; the code in the metrics file."""

    halved = 1  # back to the kept parameters, with half the rate
    gave_up = 2  # back to the kept parameters; the run ends as diverged
    stopped_early = 3  # the loss has not fallen for as many looks as were asked for, or climbs however small the rate
    kept_best = 4  # back to the kept parameters at the end of the run
    new_rate = 5  # the person gave another rate: halvings are counted anew
    stood_still = 6  # as halved, because the loss did not fall; counted apart


@dataclass(frozen=True)
class Event:
    """After `step` steps the parameters became those after `back_to` steps, or the run ended. `loss` is the one that was
    judged; None: a step's was not finite, or none was judged."""

    step: int
    kind: Kind
    back_to: int
    loss: float | None = None

    @property
    def returns(self) -> bool:
        """Whether the parameters went back."""
        by_guard = self.kind == Kind.stopped_early and self.loss is not None
        return by_guard or self.kind in (Kind.halved, Kind.gave_up, Kind.stood_still, Kind.kept_best)


class Guard:
    """Of one run. `constant`: the loss of the best constant answer to the training rows, None where there is none;
    `steps`: of the run; `rows`: of one look; `may_stand_still`: False where the rate is constant and should not be."""

    def __init__(
        self,
        constant: float | None = None,
        steps: int = WINDOW * WINDOWS,
        rows: int = 1000,
        may_stand_still: bool = True,
    ):
        self.constant, self.may_stand_still = constant, may_stand_still
        self.window = min(WINDOW, max(1, steps // WINDOWS))
        self.climb = CLIMB + CHANCE / math.sqrt(rows)
        self.kept_step = 0
        self.events: list[Event] = []
        self.looks_since_best = 0
        self._halvings = 0
        self._stills = 0
        self._best: float | None = None
        self._scale = 0.0
        self._losses: list[float] = []  # since the last look
        self._looks: list[float] = []  # since the last return

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by."""
        return 0.5 ** (self._halvings + self._stills)

    def is_worse_than_constant(self, loss: float | None) -> bool:
        """Of an event's loss."""
        return loss is None or not loss <= (self.constant or self._scale)

    def divergence(self, step: int) -> Event | None:
        """The return after `step` steps from a loss that is worse than a constant answer's; None where there is none."""
        last = self.events[-1] if self.events else None
        is_return = last is not None and last.step == step and last.returns and last.kind != Kind.kept_best
        return last if last and is_return and self.is_worse_than_constant(last.loss) else None

    @property
    def has_ended(self) -> bool:
        """The loss climbs however small the rate."""
        last = self.events[-1] if self.events else None
        return last is not None and last.kind == Kind.stopped_early and last.loss is not None

    @property
    def is_lost(self) -> bool:
        """The rate was halved, and nothing better than the start was found."""
        return self._halvings > 0 and self.kept_step == 0

    @property
    def limit(self) -> float:
        """The loss from which the run is astray; infinite before the first step."""
        if self._best is None:
            return math.inf
        if not self.kept_step:
            return self._best + (START_CLIMB + self.climb - CLIMB) * self._scale
        is_below_constant = self.constant is not None and self._best < self.constant
        return self._best + self.climb * ((self.constant or 0.0) if is_below_constant else self._scale)

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
        self._looks.append(loss)
        self.looks_since_best += 1
        if self._best is not None and loss <= self._best:
            self._best, self.kept_step, self.looks_since_best = loss, step, 0
            return Verdict.keep
        if not self.may_stand_still and self._stands_still():
            self._stills += 1
            self.happened(Kind.stood_still, step, loss)
            return Verdict.go_back
        return Verdict.go_on

    def _stands_still(self) -> bool:
        if not self.constant or len(self._looks) < 2 * STILL:
            return False
        least, most = (part * self.constant for part in STILL_SCALE)
        before, now = sum(self._looks[-2 * STILL : -STILL]), sum(self._looks[-STILL:])
        return now > STILL_RATIO * before and least < now / STILL < most

    def went_astray(self, step: int, loss: float | None = None) -> Verdict:
        """After `step` steps: the loss is too high, or (None) it is not finite."""
        self._losses.clear()
        self.looks_since_best += 1
        if self._halvings == HALVINGS:
            is_lost = self.is_worse_than_constant(loss)
            self.happened(Kind.gave_up if is_lost else Kind.stopped_early, step, loss)
            return Verdict.give_up
        self._halvings += 1
        self.happened(Kind.halved, step, loss)
        return Verdict.go_back

    def happened(self, kind: Kind, step: int, loss: float | None = None) -> Event:
        """An event at the kept parameters."""
        if kind == Kind.new_rate:
            self._halvings = self._stills = 0
        self._looks.clear()
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
            elif event in (Kind.halved, Kind.gave_up):
                self.went_astray(step)
            else:
                self.happened(Kind(int(event)), step)


def describe(event: Event, rates: str) -> str:
    """An event in a sentence; `rates` are the learning rates from there on."""
    back = f"back to the parameters of step {event.back_to}"
    if event.kind == Kind.stopped_early:
        return f"stopped after step {event.step}: the loss was lowest after step {event.back_to}"
    if event.kind == Kind.kept_best:
        return f"{back}: their loss was the lowest"
    if event.kind == Kind.new_rate:
        return f"learning rate {rates} from step {event.step} on"
    if event.kind == Kind.stood_still:
        return f"the loss stands still at {event.loss:.4g}: {back}, and on with half the learning rate ({rates})"
    is_finite = event.loss is not None and math.isfinite(event.loss)
    what = f"the loss climbed to {event.loss:.4g}" if is_finite else "the loss was not finite"
    then = "" if event.kind == Kind.gave_up else f", and on with half the learning rate ({rates})"
    return f"{what} after step {event.step}: {back}{then}"
