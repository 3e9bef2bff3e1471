# SPDX-License-Identifier: MIT
"""A line with software flow control is recognised and named, and no other line is taken for one."""

from types import SimpleNamespace

import devices
import pytest
from devices import SMALL

from ttzo.device_runtime.contract import Region
from ttzo.host_tools.device import flow_control
from ttzo.host_tools.device.faulty_line import Faults
from ttzo.host_tools.device.flow_control import XOFF, XON, is_on
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import LinkError, open_stream


class FlowControlled:
    """A stream that takes XON and XOFF for itself: it drops both, and brings nothing between XOFF and XON where it `stops`."""

    def __init__(self, stream, stops: bool):
        self._stream, self._stops, self._held = stream, stops, False
        self.port = stream.port

    timeout = property(lambda self: self._stream.timeout, lambda self, value: setattr(self._stream, "timeout", value))

    @property
    def in_waiting(self) -> int:
        return 0 if self._held else self._stream.in_waiting

    def write(self, data: bytes) -> None:
        for byte in data:
            if self._stops and bytes([byte]) in (XON, XOFF):
                self._held = bytes([byte]) == XOFF
        self._stream.write(data.replace(XON, b"").replace(XOFF, b""))

    def read(self, size: int = 1) -> bytes:
        return b"" if self._held else self._stream.read(size).replace(XON, b"").replace(XOFF, b"")

    def close(self) -> None:
        self._stream.close()


@pytest.mark.parametrize("stops", [False, True])
def test_a_line_with_flow_control_is_named(stops):
    content = bytes(range(256)) * 4
    with devices.numpy(SMALL, sparse_bytes=2048) as url, Link(FlowControlled(open_stream(url), stops)) as link:
        with pytest.raises(LinkError, match=r"software flow control \(XON/XOFF\)") as told:
            link.request("write", tail=content[:1000], region=Region.sparse, offset=0, timeout=1.0)
        assert "switch it off" in told.value.hint


def test_clear_and_noisy_lines_are_not_taken_for_one():
    with devices.numpy(SMALL) as url:
        stream = open_stream(url)
        assert not is_on(stream, True) and not is_on(stream, False)
        for seed in range(5):
            assert not is_on(Faults({"flip": 0.05}, seed).through(stream), True)
        stream.close()


class Slow:
    """A device that answers every frame, each `delay` seconds after it has come. Time passes where its answers are awaited."""

    timeout = 0.0

    def __init__(self, delay: float):
        self.now, self._delay = 0.0, delay
        self._due = [delay]  # one answer is under way

    def write(self, data: bytes) -> None:
        if b"\0" in data:
            self._due.append(self.now + self._delay)

    @property
    def in_waiting(self) -> int:
        return sum(due <= self.now for due in self._due)

    def read(self, size: int = 1) -> bytes:
        self.now += self.timeout
        ready = self.in_waiting
        self._due = [due for due in self._due if due > self.now]
        return b"x" * ready


@pytest.mark.parametrize("times", [0.2, 1.4, 1.9])
def test_a_device_that_is_only_slow_is_not_taken_for_one(monkeypatch, times):
    device = Slow(times * flow_control.ANSWER_S)
    monkeypatch.setattr(flow_control, "time", SimpleNamespace(monotonic=lambda: device.now))
    assert not is_on(device, False)
