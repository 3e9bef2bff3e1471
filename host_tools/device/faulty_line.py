# SPDX-License-Identifier: MIT
"""A bad line on purpose: seeded faults between the host and any device, as `ttzo train --faults SPEC` puts them there.

    flip=0.1%,lose=0.1%,seed=7      each byte is changed, or lost, with a probability of 0.001
    all=1%                          each byte meets a fault of any kind with 0.01, each frame a disconnection with 0.01
    rate=11520                      the line carries so many bytes a second in each direction

The same SPEC puts the same faults at the same bytes, as far as the host sends and receives the same pieces.
"""

import collections
import random
import time
from dataclasses import dataclass, field

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.host_tools.device.ports import Stream

OF_BYTES = ("flip", "lose", "double", "cut", "delay")  # with a probability a byte
OF_FRAMES = "disconnect"  # with a probability a frame that the host sends
KINDS = (*OF_BYTES, OF_FRAMES)
CUT_BYTES = 32  # that a cut takes at most
DELAY_S = 0.01


class FaultsError(TtzoError):
    """A SPEC that names no faults."""

    exit_code = ExitCode.usage


class Disconnected(OSError):
    """What a stream raises when its cable is pulled."""


def _share(word: str) -> float:
    value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    if not 0 <= value <= 0.5:
        raise ValueError(word)
    return value


@dataclass
class Faults:
    """Faults by kind with their probabilities, and how many of each there have been."""

    shares: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    rate: float = 0.0  # bytes a second, 0: as fast as the line is

    def __post_init__(self) -> None:
        self.counts = collections.Counter[str]()
        self._rng = random.Random(self.seed)
        self._of_bytes = [self.shares.get(kind, 0.0) for kind in OF_BYTES]
        self._cut_left = 0

    @classmethod
    def parse(cls, spec: str) -> "Faults":
        """Raises `FaultsError`."""
        made = cls()
        try:
            for part in spec.split(","):
                name, _, word = part.strip().partition("=")
                if name == "seed":
                    made.seed = int(word)
                elif name == "rate":
                    made.rate = float(word)
                elif name == "all":
                    made.shares |= {kind: _share(word) / len(OF_BYTES) for kind in OF_BYTES}
                    made.shares[OF_FRAMES] = _share(word)
                elif name in KINDS:
                    made.shares[name] = _share(word)
                else:
                    raise ValueError(part)
            if made.rate < 0 or sum(made.shares.values()) > 1:
                raise ValueError(spec)
        except ValueError as error:
            raise FaultsError(
                f"{spec!r} does not describe faults ({error})",
                f"give KIND=SHARE,..., such as flip=0.1%,seed=1; the kinds are all, {', '.join(KINDS)}; rate=BYTES_PER_SECOND",
            ) from error
        return cls(made.shares, made.seed, made.rate)

    def through(self, stream: Stream) -> "FaultyStream":
        """The stream with these faults on it."""
        return FaultyStream(stream, self)

    def damage(self, data: bytes) -> bytes:
        """What arrives of `data`."""
        if not any(self._of_bytes) and not self._cut_left:
            return data
        made = bytearray()
        for byte in data:
            if self._cut_left:
                self._cut_left -= 1
                continue
            made += self._of_byte(byte)
        return bytes(made)

    def _of_byte(self, byte: int) -> bytes:
        drawn = self._rng.random()
        for kind, share in zip(OF_BYTES, self._of_bytes, strict=True):
            drawn -= share
            if drawn < 0:
                self.counts[kind] += 1
                return self._after(kind, byte)
        return bytes([byte])

    def _after(self, kind: str, byte: int) -> bytes:
        if kind == "flip":
            return bytes([byte ^ 1 << self._rng.randrange(8)])
        if kind == "double":
            return bytes([byte, byte])
        if kind == "delay":
            time.sleep(DELAY_S * self._rng.random())
            return bytes([byte])
        if kind == "cut":
            self._cut_left = self._rng.randrange(CUT_BYTES)
        return b""

    def pulls(self) -> str:
        """Whether the cable is pulled while a frame is sent, and when: before, amid, after it; empty where it is not."""
        if self._rng.random() >= self.shares.get(OF_FRAMES, 0.0):
            return ""
        self.counts[OF_FRAMES] += 1
        return self._rng.choice(("before", "amid", "after"))


class FaultyStream:
    """An open stream whose bytes meet faults in both directions."""

    def __init__(self, stream: Stream, faults: Faults):
        self._stream, self._faults = stream, faults
        self.port = stream.port
        self._pulled = False
        self._out_free_at = self._in_free_at = 0.0

    @property
    def timeout(self) -> float | None:
        return self._stream.timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._stream.timeout = value

    @property
    def in_waiting(self) -> int:
        self._require_cable()
        return self._stream.in_waiting

    def write(self, data: bytes) -> None:
        """Waits until the line has carried all but the last of it, where it has a rate."""
        self._require_cable()
        when = self._faults.pulls()
        if when == "amid":
            data = data[: len(data) // 2]
        if when != "before":
            self._out_free_at = self._carry(len(data), self._out_free_at)
            self._stream.write(self._faults.damage(data))
        if when:
            self._pulled = True
        if when in ("before", "amid"):
            self._require_cable()

    def read(self, size: int = 1) -> bytes:
        self._require_cable()
        data = self._stream.read(size)
        self._in_free_at = self._carry(len(data), self._in_free_at)
        return self._faults.damage(data)

    def _carry(self, n_bytes: int, free_at: float) -> float:
        """Waits until a line that is free at `free_at` has carried so many bytes; when it is free again."""
        if not self._faults.rate:
            return 0.0
        free_at = max(free_at, time.monotonic()) + n_bytes / self._faults.rate
        time.sleep(max(0.0, free_at - time.monotonic()))
        return free_at

    def _require_cable(self) -> None:
        if self._pulled:
            self._stream.close()
            raise Disconnected("the cable was pulled (--faults)")

    def close(self) -> None:
        self._stream.close()
