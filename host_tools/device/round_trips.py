# SPDX-License-Identifier: MIT
"""What the host learns about a line: how long answers take, how large frames may be, which pieces are on their way."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ttzo.device_runtime.contract import LIMIT

FIRST_SILENCE_S = 1.0  # until the first repetition, before anything is known
DAMAGED_SILENCE_S = 0.25  # the same where the line damages what the other side says
LEAST_SILENCE_S = 0.02
LONGEST_SILENCE_S = 2.0
MOST_BYTES = LIMIT["max_payload"]  # of a frame's payload
FIRST_BYTES = 256.0
LEAST_BYTES = 24.0
WINDOW_PIECES = 16  # few enough that no late answer bears the number of another piece
FIRST_NOTICE_S = 5.0  # until the person hears what is waited for; doubled each time


class RoundTrips:
    """How long answers take, message by message, and how many bytes of payload a frame should have at most.

    A request is repeated after the mean answer time and four mean deviations of it (as TCP does, RFC 6298). Whoever had to
    repeat waits twice as long the next time, until an answer comes at once: else a device that has become slower would
    never be measured. Frames halve with each that is lost and grow by half with each that is not, which keeps the share of
    those that are lost near 37 %: with b bytes of overhead and errors in a share p of the bytes, payloads near sqrt(b / p)
    carry most.
    """

    def __init__(self) -> None:
        self._times: dict[str, tuple[float, float]] = {}  # mean and mean deviation in seconds
        self._waiting: dict[str, float] = {}  # silence of messages that had to be repeated
        self.most_bytes = MOST_BYTES
        self._bytes = FIRST_BYTES

    @property
    def piece_bytes(self) -> int:
        return int(min(self._bytes, self.most_bytes))

    def silence(self, message: str) -> float:
        """Seconds until a request is repeated."""
        if message in self._waiting:
            return min(self._waiting[message], FIRST_SILENCE_S)
        if message not in self._times:
            return FIRST_SILENCE_S
        mean, deviation = self._times[message]
        return min(max(mean + 4 * deviation, LEAST_SILENCE_S), FIRST_SILENCE_S)

    def waited(self, message: str, silence: float) -> float:
        """The next silence after one that was in vain."""
        self._waiting[message] = min(2 * silence, LONGEST_SILENCE_S)
        return self._waiting[message]

    def damaged(self, message: str) -> float:
        """The silence once a damaged frame shows that the other side is not slow."""
        self._waiting.pop(message, None)
        return self.silence(message) if message in self._times else DAMAGED_SILENCE_S

    def working(self, silence: float) -> float:
        """The silence while a device tells that it works."""
        return max(silence, FIRST_SILENCE_S)

    def came(self, message: str, seconds: float, trips: int) -> None:
        """An answer came, `seconds` after the first of so many requests."""
        if trips > 1:
            return
        mean, deviation = self._times.get(message, (seconds, seconds))
        deviation += (abs(seconds - mean) - deviation) / 4
        self._times[message] = mean + (seconds - mean) / 8, deviation
        self._waiting.pop(message, None)
        if message in ("read", "write"):
            self._bytes = min(self.most_bytes, 1.5 * self._bytes)

    def lost(self) -> None:
        """A frame was lost or damaged."""
        self._bytes = max(LEAST_BYTES, self._bytes / 2)


class Sent(NamedTuple):
    """A piece of a region on its way."""

    start: int
    end: int
    message: str
    payload_bytes: int
    when: float


class Pieces:
    """The bytes of a region that are to be written: not yet sent, on their way, or there."""

    def __init__(self, n_bytes: int, window_bytes: int):
        """`window_bytes` of payload may be on their way at once: a board's receive buffer holds two frames."""
        self._window_bytes = window_bytes
        self._todo: deque[tuple[int, int]] = deque([(0, n_bytes)] if n_bytes else [])
        self.flight: dict[int, Sent] = {}  # by sequence, in the order of sending
        self.left = n_bytes

    def next(self, size: int) -> tuple[int, int] | None:
        """What is to be sent next, or its beginning where a payload of `size` bytes holds no more; None while enough is
        on its way."""
        on_its_way = sum(sent.payload_bytes for sent in self.flight.values())
        if (
            not self._todo
            or len(self.flight) == WINDOW_PIECES
            or (self.flight and on_its_way + size > self._window_bytes)
        ):
            return None
        return self._todo[0]

    def sent(self, sequence: int, end: int, message: str, payload_bytes: int) -> None:
        """What `next` gave is on its way, up to `end`."""
        start, until = self._todo.popleft()
        if end < until:
            self._todo.appendleft((end, until))
        self.flight[sequence] = Sent(start, end, message, payload_bytes, time.monotonic())

    def came(self, sequence: int) -> tuple[float, int]:
        """A piece is there: seconds since it was sent, and how many sent before it are lost."""
        lost = [earlier for earlier in self.flight if earlier != sequence]
        lost = lost[: list(self.flight).index(sequence)]
        for earlier in reversed(lost):
            self._give_back(earlier)
        sent = self.flight.pop(sequence)
        self.left -= sent.end - sent.start
        return time.monotonic() - sent.when, len(lost)

    def all_lost(self) -> int:
        """Nothing that is on its way will come; how many pieces that were."""
        count = len(self.flight)
        for sequence in reversed(list(self.flight)):
            self._give_back(sequence)
        return count

    def _give_back(self, sequence: int) -> None:
        sent = self.flight.pop(sequence)
        self._todo.appendleft((sent.start, sent.end))


class Wait:
    """How long a request may take: `timeout` seconds of silence, `limit` seconds in all. Tells about it now and then."""

    def __init__(self, what: str, timeout: float, limit: float, tell: Callable[[str], Any]):
        self._what, self._timeout, self._limit, self._tell = what, timeout, limit, tell
        self._notice = FIRST_NOTICE_S
        self.restart()

    def restart(self) -> None:
        """Another piece of the same work begins."""
        self._began = time.monotonic()
        self._end = self._began + max(self._limit, self._timeout)
        self.begin_anew()

    def begin_anew(self) -> None:
        """The device is alive: its silence counts from now."""
        self.until = min(self._end, time.monotonic() + self._timeout)

    @property
    def spent(self) -> float:
        return time.monotonic() - self._began

    def goes_on(self) -> bool:
        if self.spent > self._notice:
            self._notice *= 2
            most = self.until - self._began
            self._tell(f"waiting for {self._what}: {self.spent:.0f} s by now, {most:.0f} s at most without news")
        return time.monotonic() < self.until
