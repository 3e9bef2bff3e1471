# SPDX-License-Identifier: MIT
"""A line that damages, loses, repeats or breaks off: nothing is trained twice, and the host says what is wrong."""

import random
import socket
import threading

import numpy as np
import pytest
from devices import SMALL, STEP, Line, connect, fill, read_parameters, request, rows

from ttzo.device_runtime.contract import (
    LIMIT,
    MESSAGE,
    REPLY,
    REQUEST,
    DeviceError,
    Region,
)
from ttzo.host_tools.device.frames import BAD_FRAME, Frame, decode, encode
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import LinkError, open_stream
from ttzo.host_tools.device.round_trips import RoundTrips

pytestmark = pytest.mark.usefixtures("quick")

# ---- damage


def damaged(line: bytes):
    """Every way to lose, insert or change one byte of it."""
    for at in range(len(line)):
        yield line[:at] + line[at + 1 :]
        for byte in {0, 3, 255, line[at] ^ 16} - {line[at]}:
            yield line[:at] + bytes([byte]) + line[at + 1 :]
        for byte in (1, 3, 77):
            yield line[:at] + bytes([byte]) + line[at:]


def test_a_damaged_frame_never_trains(url):
    with Line(url) as line:
        ways = list(damaged(encode(STEP)))
        line.send(b"".join(b"\0" + way + b"\0" for way in ways if decode(way.rstrip(b"\0")) is None))
        got = line.settle()
        assert got and set(got) == {BAD_FRAME}
        assert line.step_count() == 0
        assert line.ask(STEP).code == MESSAGE["step"]


def test_two_delimiters_in_a_row_are_no_frame(url):
    with Line(url) as line:
        line.send(bytes(5000))
        assert line.settle() == []


def test_a_frame_that_is_too_long_is_one_damaged_frame(url):
    with Line(url) as line:
        for length in (1036, 1037, 5000, 70000):
            line.send(b"\x01" * length + b"\0")
            assert line.frame() == BAD_FRAME
        line.send(encode(Frame(8, MESSAGE["write"], bytes(1025))))  # fits the line, as zeros cost COBS nothing
        assert line.frame() == BAD_FRAME
        assert line.settle() == []


def test_the_largest_frame_passes_both_ways(url):
    payload = bytes(range(1, 255)) * 4 + b"\0" * 3
    with connect(url) as link:
        with pytest.raises(DeviceError, match="outside"):
            link.request("write", tail=payload, region=Region.batch, offset=0)
        assert len(payload) + REQUEST["write"].SIZE == LIMIT["max_payload"]
        assert len(link.request("read", region=1, offset=0, count=4 * SMALL.n_moments)[1]) == 4 * SMALL.n_moments


def test_byte_3_is_harmless(url):
    with connect(url) as link:
        threes = np.frombuffer(b"\3" * (4 * SMALL.n_parameters), "<f4")
        fill(link, Region.parameters, threes.tobytes())
        assert read_parameters(link, SMALL) == threes.tobytes()
    with Line(url) as line:
        line.send(b"\3" * 3000)
        assert line.settle() == [BAD_FRAME]


def test_garbage_changes_nothing(url):
    rng = random.Random(11)
    frames = [
        encode(request(5, "reset")),
        encode(STEP),
        encode(request(6, "write", tail=rng.randbytes(600), region=0, offset=0)),
    ]
    with connect(url) as link:
        link.request("step", step=0, region=Region.batch)
        before = link.request("status"), read_parameters(link, SMALL)
    with Line(url) as line:
        for _ in range(40):
            whole = bytearray(b"".join(rng.choices(frames, k=8)) + rng.randbytes(2000))
            for _ in range(len(whole) // 15):  # no frame of 14 bytes or more stays as it was
                whole[rng.randrange(len(whole))] = rng.randrange(256)
            pieces = [piece for piece in bytes(whole).split(b"\0") if decode(piece) is None]
            line.send(b"\0".join(pieces))
            assert set(line.settle()) <= {BAD_FRAME}
    with connect(url) as link:
        assert (link.request("status"), read_parameters(link, SMALL)) == before


class Mangled:
    """A pyserial stream whose n-th write, or n-th read with bytes in it, goes through `change`; n = 0: each of them."""

    def __init__(self, stream, verb, n, change):
        self._stream, self._verb, self._n, self._change, self._count = stream, verb, n, change, 0
        self.port, self.timeout = "a bad line", None
        self.close = stream.close

    def _pass(self, verb, data):
        if verb != self._verb or not data:
            return data
        self._count += 1
        return self._change(data) if self._n in (0, self._count) else data

    @property
    def in_waiting(self):
        return self._stream.in_waiting

    def write(self, data):
        self._stream.write(self._pass("write", data))

    def read(self, size):
        self._stream.timeout = 0.02
        return self._pass("read", self._stream.read(2000))


@pytest.mark.parametrize("verb", ["write", "read"])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[1:],
        lambda data: data[:-1],
        lambda data: data[:4] + data[5:],
        lambda data: data[:4] + b"\0" + data[4:],
        lambda data: data[:4] + b"\3" + data[4:],
        lambda data: data[:4] + bytes([data[4] ^ 32]) + data[5:],
        lambda data: data + data,
        lambda data: b"boot: hello\r\n" + data,
    ],
    ids=[
        "all lost",
        "head lost",
        "delimiter lost",
        "byte lost",
        "zero inserted",
        "3 inserted",
        "bit flipped",
        "twice",
        "text before",
    ],
)
def test_the_host_gets_through_a_bad_line_and_trains_once(url, verb, change):
    with Link(Mangled(open_stream(url), verb, 2, change)) as link:
        link.hello()
        for step in range(3):
            reply, _ = link.request("step", step=step, region=Region.batch)
            assert reply.step == step + 1
        assert link.request("status")[0].state.step == 3


class Doubling:
    """A line in memory. Its device answers each request twice, a READ with the offset that was asked for."""

    port = timeout = None

    def __init__(self):
        self._answers, self.n_requests = b"", 0

    @property
    def in_waiting(self):
        return len(self._answers)

    def write(self, data):
        asked, reply = decode(data.strip(b"\0")), b""
        if asked.code == MESSAGE["read"]:
            offset = REQUEST["read"].unpack(asked.payload).offset
            reply = bytes(REPLY["read"].SIZE) + offset.to_bytes(4, "little")
        self.n_requests += 1
        self._answers += 2 * encode(asked._replace(payload=reply))

    def read(self, size=1):
        got, self._answers = self._answers[:size], self._answers[size:]
        return got

    def close(self):
        pass


def test_an_answer_that_comes_twice_costs_no_request_and_is_not_taken_for_the_next(monkeypatch):
    monkeypatch.setattr(RoundTrips, "silence", lambda *_: 600.0)  # on a slow machine, too, nothing is sent again
    line, offsets = Doubling(), range(0, 1200, 4)  # more requests than there are sequence numbers
    with Link(line) as link:
        for at in offsets:
            assert link.read(Region.parameters, at, 4)[1] == at.to_bytes(4, "little")
        assert line.n_requests == link.frames == len(offsets)
        link.write(Region.parameters, bytes(20000))
        assert link.repeats == 0


def test_a_run_over_a_noisy_line_ends_in_the_same_bits(start):
    rng = random.Random(4)

    def noise(data):
        data = bytearray(data)
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            at, way = rng.randrange(len(data) or 1), rng.randrange(3)
            data[at : at + (way != 0)] = b"" if way == 1 else bytes([rng.randrange(256)])
        return bytes(data)

    ends = []
    for noisy in (False, True):
        with start() as url:
            stream = open_stream(url)
            if noisy:
                stream = Mangled(Mangled(stream, "read", 0, noise), "write", 0, noise)
            with Link(stream) as link:
                for step in range(5):
                    fill(link, Region.batch, rows(SMALL, SMALL.batch, seed=step))
                    link.request("step", step=step, region=Region.batch)
                ends.append((link.request("status"), read_parameters(link, SMALL)))
                assert not noisy or link.repeats > 5
    assert ends[0] == ends[1]


# ---- the host's errors


def silent_server(answer=None):
    server = socket.create_server(("127.0.0.1", 0))

    def run():
        client, _ = server.accept()
        with client:
            while data := client.recv(4096):
                if answer is not None:
                    client.sendall(answer(data) if callable(answer) else answer)

    threading.Thread(target=run, daemon=True).start()
    return server, f"socket://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(("babble", "says"), [(None, "has not answered"), (b"ready\0", "damaged frames")])
def test_a_line_without_a_device_is_given_up_with_a_next_step(babble, says):
    server, url = silent_server(babble)
    with server, connect(url) as link, pytest.raises(LinkError, match=says) as caught:
        link.hello(timeout=2)
    assert caught.value.exit_code == 4 and ("uart_irq" in caught.value.hint) == (babble is None)
    assert link.repeats >= 1


@pytest.mark.parametrize(
    "prompt",
    [
        b">>> ",
        b"\r\n>>> \0",
        b"MicroPython v1.24.0 on board\r\n>>> ",
        lambda data: b"\r\n>>> " if b"\x03" in data[-2:] else b"echo",  # it shows itself after Ctrl-C alone
    ],
)
def test_a_micropython_prompt_is_named(prompt):
    server, url = silent_server(prompt)
    with server, connect(url) as link, pytest.raises(LinkError, match="a MicroPython prompt answers") as caught:
        link.hello(timeout=2)
    assert "ttzo deploy" in caught.value.hint and f"mpy:{url}" in caught.value.hint


def test_a_connection_that_breaks_off_is_said_so(start):
    with start() as url:
        link = connect(url)
        link.hello()
    with pytest.raises(LinkError, match="broke off"):
        link.request("status", timeout=2)
        link.request("status", timeout=2)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/dev/ttyNothing", "there is no port"),
        ("socket://127.0.0.1:1", "nothing listens"),
        ("socket://127.0.0.1", "is not a valid port"),
        ("sokket://127.0.0.1:1", "is not a valid port"),
        ("/dev/null", "cannot be opened"),
    ],
)
def test_a_port_that_cannot_be_opened_is_one_clear_sentence(url, says):
    with pytest.raises(LinkError, match=says) as caught:
        open_stream(url)
    assert caught.value.hint


def test_a_busy_port_is_told_from_a_missing_one():
    import os

    master, slave = os.openpty()
    try:
        with open_stream(os.ttyname(slave)), pytest.raises(LinkError, match="in use"):
            open_stream(os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


def test_too_long_a_request_is_the_callers_mistake(url):
    with connect(url) as link, pytest.raises(ValueError, match="at most 1024"):
        link.request("write", tail=bytes(1020), region=0, offset=0)
