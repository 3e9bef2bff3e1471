# SPDX-License-Identifier: MIT
"""The link: whatever the line does, nothing is carried out twice, nothing damaged is carried out at all, and both
device sides, C and Python, answer alike."""

import dataclasses
import itertools
import random
import socket
import threading
import time
import zlib
from contextlib import contextmanager

import devices
import numpy as np
import pytest
from devices import HELLO, LONG_STEP, SMALL, WORK_BYTES, Line, connect, error, fill, read_parameters, request, rows
from hypothesis import given
from hypothesis import strategies as st

from ttzo.device_runtime.contract import (
    HASH,
    LIMIT,
    MESSAGE,
    MESSAGE_HASH,
    REPLY,
    REQUEST,
    DeviceError,
    Estimator,
    PhaseRecord,
    Region,
    StateRecord,
    TrainingRecord,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.training import Phase
from ttzo.exporter.writers.to_bundle import model_hash, training_records
from ttzo.host_tools.data import sparse_rows
from ttzo.host_tools.device import link as link_module
from ttzo.host_tools.device.link import BAD_FRAME, Frame, Link, LinkError, decode, encode, open_stream


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Silence is short."""
    monkeypatch.setattr(link_module, "FIRST_SILENCE_S", 0.3)


@pytest.fixture(params=["native", "numpy"])
def start(request, tmp_path):
    """`start(plan)`: a device of either kind as a context manager that gives its URL."""
    if request.param == "numpy":
        return lambda plan=SMALL, work_bytes=WORK_BYTES: devices.numpy(plan, work_bytes)
    executable = request.getfixturevalue("native_executable")
    return lambda plan=SMALL, work_bytes=WORK_BYTES: devices.native(
        executable, plan, tmp_path, "--work-bytes", str(work_bytes)
    )


@pytest.fixture
def url(start):
    """A device with a batch in it, ready to step."""
    with start() as url:
        with connect(url) as link:
            link.hello()
            fill(link, Region.batch, rows(SMALL, SMALL.batch))
        yield url


STEP = request(9, "step", step=0, region=Region.batch)
CODE = {
    name: DeviceError(name).code
    for name in ("unknown_message", "bad_request", "bad_contract", "out_of_range", "wrong_step", "cancelled")
}

# ---- frames


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=LIMIT["max_payload"]))
def test_a_frame_is_decoded_to_what_was_encoded(sequence, code, payload):
    line = encode(Frame(sequence, code, payload))
    assert line[-1:] == b"\0" and b"\0" not in line[:-1]
    assert decode(line[:-1]) == Frame(sequence, code, payload)


@given(st.binary(max_size=60), st.data())
def test_a_flipped_bit_is_never_taken_for_a_frame(payload, data):
    line = bytearray(encode(Frame(1, 2, payload))[:-1])
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decode(bytes(line)) is None


def test_crc_of_the_c_equals_zlib(c_library):
    import ctypes

    crc32 = c_library("number/crc32.c").ttzo_crc32
    crc32.restype, crc32.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 3, 255, 1030):
        data = rng.bytes(size)
        assert crc32(0, data, size) == zlib.crc32(data)
        assert crc32(zlib.crc32(data), data, size) == zlib.crc32(data + data)


# ---- who is there


def test_hello_tells_model_and_memory(url):
    with connect(url) as link:
        reply = link.hello()
    assert reply.contract_hash == HASH
    assert reply.model_hash == model_hash(SMALL)
    assert reply.board.rstrip(b"\0") in (b"native", b"numpy")
    assert (reply.n_parameters, reply.n_moments, reply.batch) == (SMALL.n_parameters, SMALL.n_moments, SMALL.batch)
    assert (reply.row_bytes, reply.macs_per_sample, reply.dataset_capacity) == (SMALL.row_bytes, SMALL.macs, 16)
    assert (reply.work_bytes, reply.work_capacity) == (memory.work_bytes(SMALL), WORK_BYTES)


SAME = (MESSAGE_HASH["hello"], MESSAGE_HASH["leave"])


@pytest.mark.parametrize(
    ("messages", "leaves"),
    [
        (SAME, True),
        ((SAME[0] ^ 1, SAME[1]), False),  # whose HELLO is another one, so that nobody knows what follows
        ((SAME[0], SAME[1] ^ 1), False),
        ((), False),  # contract 1 and 2: the contract's hash alone
    ],
)
@pytest.mark.parametrize("more", [b"", b"more than we know of"])
def test_a_host_of_another_contract_says_only_hello_and_leave(url, messages, leaves, more):
    hello = b"".join(number.to_bytes(4, "little") for number in (HASH ^ 1, *messages)) + (more if messages else b"")
    with Line(url) as line:
        other = line.ask(Frame(1, MESSAGE["hello"], hello))
        assert other.payload[:12] == b"".join(number.to_bytes(4, "little") for number in (HASH, *SAME))
        assert error(line.ask(request(2, "status")))[0] == CODE["bad_contract"]
        assert error(line.ask(STEP))[0] == CODE["bad_contract"]
        left = line.ask(request(4, "leave"))
        assert left == request(4, "leave") if leaves else error(left)[0] == CODE["bad_contract"]
        line.ask(HELLO)
        assert line.ask(request(5, "leave")) == request(5, "leave")
        assert line.step_count() == 0


def test_a_device_of_another_contract_is_named_where_it_has_the_same_hello():
    told = REPLY["hello"].unpack(bytes(REPLY["hello"].SIZE))
    told = dataclasses.replace(told, contract_hash=HASH ^ 1, hello_hash=SAME[0], board=b"a board")
    with pytest.raises(DeviceError) as caught, answering(told.pack()) as url, connect(url) as link:
        link.hello()
    assert caught.value.name == "bad_contract" and "a board" in caught.value.hint


@contextmanager
def answering(reply: bytes):
    """A device that gives that payload to the first request; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            client, _ = server.accept()
            with client:
                asked = decode(client.recv(4096).strip(b"\0"))
                client.sendall(encode(Frame(asked.sequence, asked.code, reply)))
                client.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize("reply", [b"\1\2\3\4", b"", b"\1\2\3\4" * 50])
def test_a_device_of_another_contract_is_told_apart_by_its_first_field(reply):
    with pytest.raises(DeviceError) as caught, answering(reply) as url, connect(url) as link:
        link.hello()
    assert caught.value.name == "bad_contract"
    assert "ttzo build" in caught.value.hint


# ---- requests


def test_parameters_come_as_exported_and_go_as_written(url):
    wanted = np.random.default_rng(3).standard_normal(SMALL.n_parameters).astype("<f4").tobytes()
    with connect(url) as link:
        assert read_parameters(link, SMALL) == SMALL.parameters.tobytes()
        link.request("write", tail=wanted, region=Region.parameters, offset=0)
        assert read_parameters(link, SMALL) == SMALL.parameters.tobytes(), "a write alone changes nothing"
        with pytest.raises(DeviceError, match="checksum"):
            link.request("commit", region=Region.parameters, count=len(wanted), crc=zlib.crc32(wanted) ^ 1)
        assert read_parameters(link, SMALL) == SMALL.parameters.tobytes()
        link.request("commit", region=Region.parameters, count=len(wanted), crc=zlib.crc32(wanted))
        assert read_parameters(link, SMALL) == wanted
        link.request("reset")
        assert read_parameters(link, SMALL) == SMALL.parameters.tobytes()


def test_settings_and_state_come_back_as_they_were_set(url):
    training, phase_0, phase_1 = training_records(SMALL.training)
    training = TrainingRecord(**vars(training) | {"seed": 2**64 - 3, "steps": 17})
    state = StateRecord(5, 0, 0, 0, 0.0, float("inf"), 0, 2**40)
    with connect(url) as link:
        link.request("configure", training=training, phase_0=phase_0, phase_1=phase_1)
        link.request("set_state", state=state)
        status, _ = link.request("status")
        with pytest.raises(DeviceError) as caught:
            link.request(
                "configure", training=training, phase_0=PhaseRecord(**vars(phase_0) | {"update": 0}), phase_1=phase_1
            )
    assert caught.value.name == "fixed_at_export"
    assert [r.pack() for r in (status.state, status.training, status.phase_1)] == [
        r.pack() for r in (state, training, phase_1)
    ]


def test_a_step_is_refused_unless_it_is_the_next(url):
    with connect(url) as link:
        reply, _ = link.request("step", step=0, region=Region.batch)
        assert (reply.step, reply.evaluations) == (1, 4)
        for wrong in (0, 2, 2**32 - 1):
            with pytest.raises(DeviceError) as caught:
                link.request("step", step=wrong, region=Region.batch)
            assert (caught.value.name, caught.value.detail) == ("wrong_step", 1)


SPARSE = sparse_rows.pack(np.frombuffer(rows(SMALL, 9), np.uint8).reshape(9, -1), SMALL.in_features, 1)


class Nonsense:
    """Well-framed requests with fields at and beyond every limit. Messages, fields and regions are the contract's."""

    SMALL_NUMBERS = {"step": 4, "row": 6, "first_row": 5, "n_rows": 5}
    HASHES = {"contract_hash": HASH, "hello_hash": SAME[0], "leave_hash": SAME[1]}

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        n, batch = 4 * SMALL.n_parameters, SMALL.batch * SMALL.row_bytes
        self.sizes = [0, 1, 4, n - 4, n, n + 1, batch, len(SPARSE), 1024, 1025, 2**31, 2**32 - 1]
        self.regions = [*Region, Region.batch, Region.batch, max(Region) + 1, 255]
        self.names = [name for name in REQUEST if name not in ("progress", "error")]
        self.settings = b"".join(record.pack() for record in training_records(SMALL.training))
        # upper bytes of n_queries: hours of work
        self.kept = range(TrainingRecord.SIZE + 5, TrainingRecord.SIZE + 8)

    def field(self, kind: str, name: str) -> bytes:
        rng = self.rng
        if name == "region":
            return bytes([rng.choice(self.regions)])
        if name in self.HASHES:
            return (self.HASHES[name] ^ (rng.random() < 0.2)).to_bytes(4, "little")
        if kind == "u32":
            most = self.SMALL_NUMBERS.get(name)
            return (rng.randrange(most) if most else rng.choice(self.sizes)).to_bytes(4, "little")
        assert kind == "state", f"{name}: say what this test sends as {kind}"
        return bytes([rng.randrange(3), 0, 0, 0, rng.choice([0, 0, 1])]).ljust(StateRecord.SIZE, b"\0")

    def request(self, sequence: int) -> Frame:
        rng, name = self.rng, self.rng.choice([*self.names, "step", "step"])
        if name == "configure":
            parts = [b ^ (rng.random() < 0.01 and i not in self.kept) for i, b in enumerate(self.settings)]
            payload = bytes(parts)
        else:
            payload = b"".join(self.field(*field) for field in REQUEST[name].FIELDS)
        if name == "write":
            payload += rng.randbytes(rng.choice([0, 1, 4, 20, 1000]))
        if rng.random() < 0.05:
            payload = rng.randbytes(rng.randrange(REQUEST[name].SIZE + 3))
        return Frame(sequence, MESSAGE[name] if rng.random() < 0.97 else rng.randrange(max(MESSAGE.values())), payload)


def nameless(frame: Frame) -> Frame:
    """A HELLO's answer without the board's name, in which devices differ."""
    if frame.code != MESSAGE["hello"]:
        return frame
    return frame._replace(payload=dataclasses.replace(REPLY["hello"].unpack(frame.payload), board=b"").pack())


@pytest.mark.parametrize("sparse_bytes", [0, len(SPARSE) + 8])
def test_both_devices_answer_the_same_bytes(native_executable, tmp_path, sparse_bytes):
    """Differential fuzz, in one long session."""
    made, batch = Nonsense(5 + sparse_bytes), rows(SMALL, SMALL.batch)
    fresh = [
        HELLO,
        request(1, "write", tail=batch, region=Region.batch, offset=0),
        request(2, "commit", region=Region.batch, count=len(batch), crc=zlib.crc32(batch)),
        request(3, "write", tail=SPARSE, region=Region.sparse, offset=0),
        request(4, "commit", region=Region.sparse, count=len(SPARSE), crc=zlib.crc32(SPARSE)),
    ]
    script = [frame for i in range(1200) for frame in (*(fresh if i % 12 == 0 else ()), made.request(5 + i % 250))]
    answers = []
    sizes = ("--work-bytes", str(WORK_BYTES), "--sparse-bytes", str(sparse_bytes))
    with (
        devices.native(native_executable, SMALL, tmp_path, *sizes) as native,
        devices.numpy(SMALL, WORK_BYTES, sparse_bytes) as numpy,
    ):
        for url in (native, numpy):
            with Line(url) as line:
                answers.append([nameless(line.ask(frame)) for frame in script])
    for asked, of_c, of_python in zip(script, *answers, strict=True):
        assert of_c == of_python, asked
    regions = [
        asked.payload[4]
        for asked, answer in zip(script, answers[0], strict=True)
        if asked.code == answer.code == MESSAGE["step"]
    ]
    assert len(regions) >= 10, "the session should hold real steps too"
    assert (Region.sparse in regions) == bool(sparse_bytes)


@pytest.mark.parametrize("damage", range(40))
def test_both_devices_say_the_same_of_damaged_sparse_rows(native_executable, tmp_path, damage):
    rng = random.Random(damage)
    content = bytearray(SPARSE[: rng.choice([len(SPARSE), len(SPARSE), rng.randrange(len(SPARSE))])])
    for _ in range(rng.randrange(3)):
        if content:
            content[rng.randrange(len(content))] = rng.choice([0, 1, 255, rng.randrange(256)])
    content = bytes(content)
    asked = [
        request(1, "write", tail=content, region=Region.sparse, offset=0),
        request(2, "commit", region=Region.sparse, count=len(content), crc=zlib.crc32(content)),
        request(3, "step", step=0, region=Region.sparse),
    ]
    answers = []
    with (
        devices.native(native_executable, SMALL, tmp_path, "--sparse-bytes", str(len(SPARSE))) as native,
        devices.numpy(SMALL, sparse_bytes=len(SPARSE)) as numpy,
    ):
        for url in (native, numpy):
            with Line(url) as line:
                answers.append([line.ask(frame) for frame in asked])
    assert answers[0] == answers[1]


# ---- refusals change nothing


def test_a_message_nobody_knows_is_named(url):
    with Line(url) as line:
        known = set(MESSAGE.values()) - {MESSAGE["progress"], MESSAGE["error"]}
        for code in set(range(256)) - known:
            assert error(line.ask(Frame(3, code, b"abc"))) == (CODE["unknown_message"], code)
        assert line.step_count() == 0


def test_a_request_of_the_wrong_length_is_refused(url):
    with Line(url) as line:
        for name, record in REQUEST.items():
            if name in ("progress", "error"):
                continue
            size = 4 if name == "hello" else record.SIZE  # of another contract, whose HELLO begins with its hash
            lengths = [n for n in (0, size - 1, size + 1, LIMIT["max_payload"]) if n >= 0 and n != size]
            for length in lengths:
                if length > size and name in ("write", "hello"):
                    continue
                assert error(line.ask(Frame(4, MESSAGE[name], bytes(length)))) == (CODE["bad_request"], length), name
        assert line.step_count() == 0



def test_what_lies_outside_a_region_is_refused(url):
    n = 4 * SMALL.n_parameters
    outside = [
        *(request(1, "read", region=0, offset=n - 4 + at, count=8) for at in (1, 4, 2**31)),
        *(request(1, "read", region=1, offset=2**32 - at, count=8) for at in (1, 8)),
        *(
            request(1, "write", tail=b"12345678", region=region, offset=2**32 - at)
            for region in range(4)
            for at in (1, 8)
        ),
        request(1, "write", tail=b"12345678", region=0, offset=n - 7),
        *(request(1, "commit", region=region, count=2**32 - at, crc=0) for region in range(4) for at in (1, 2**31)),
        *(request(1, "evaluate", region=2, first_row=2**32 - at, n_rows=at) for at in (1, 4, 4096)),
        request(1, "evaluate", region=2, first_row=SMALL.batch, n_rows=1),
        *(request(1, "predict", row=at + SMALL.batch - 1) for at in (1, 2**31, 2**32 - SMALL.batch)),
    ]
    with Line(url) as line:
        for frame in outside:
            assert error(line.ask(frame))[0] == CODE["out_of_range"], frame
    with connect(url) as link:
        assert read_parameters(link, SMALL) == SMALL.parameters.tobytes()


def test_a_region_that_does_not_fit_the_message_is_refused_by_its_place(url):
    wrong = [
        (request(1, "read", region=2, offset=0, count=4), 0),
        (request(1, "read", region=0, offset=0, count=1021), 5),
        (request(1, "write", region=4, offset=0), 0),
        (request(1, "commit", region=255, count=0, crc=0), 0),
        (request(1, "step", step=0, region=0), 4),
        (request(1, "evaluate", region=1, first_row=0, n_rows=0), 0),
        *((request(1, "evaluate", region=2, first_row=0, n_rows=n), 5) for n in (4097, 2**31, 2**32 - 1)),
        *((request(1, "solution_error", region=2, first_row=0, n_rows=n), 5) for n in (4097, 2**31, 2**32 - 1)),
    ]
    with Line(url) as line:
        for frame, at in wrong:
            assert error(line.ask(frame)) == (CODE["bad_request"], at)


def test_outputs_that_no_frame_holds_are_refused(start):
    plan = devices.dense_plan(2, 257)
    with start(plan, 1 << 20) as url, connect(url) as link:
        fill(link, Region.batch, rows(plan, plan.batch))
        with pytest.raises(DeviceError, match="outside"):
            link.request("predict", row=0)


# ---- repetition


def test_a_repeated_step_is_answered_from_store_and_trains_once(url):
    with Line(url) as line:
        first = line.ask(STEP)
        assert first.code == MESSAGE["step"]
        assert [line.ask(STEP) for _ in range(3)] == [first] * 3
        assert line.step_count() == 1


def test_a_stored_answer_survives_damaged_frames(url):
    with Line(url) as line:
        first = line.ask(STEP)
        # the last one is as long as a frame can be, and its last block claims 254 bytes beyond
        line.send(encode(STEP)[3:] + b"rubbish\0" + b"\x01" * 1034 + b"\xff\0")
        assert [line.frame() for _ in range(3)] == [BAD_FRAME] * 3
        assert line.ask(STEP) == first


def test_the_same_sequence_with_another_request_is_carried_out(url):
    with Line(url) as line:
        line.ask(STEP)
        assert line.ask(STEP._replace(payload=REQUEST["step"](1, Region.batch).pack())).code == MESSAGE["step"]
        assert line.step_count() == 2


def test_hello_ends_the_time_of_a_stored_answer(url):
    with Line(url) as line:
        line.ask(STEP)
        assert [line.ask(HELLO), line.ask(HELLO)] == [line.ask(HELLO)] * 2
        assert error(line.ask(STEP)) == (CODE["wrong_step"], 1), "carried out afresh, so refused"


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


# ---- long work


@pytest.fixture
def busy(start):
    """A device with a step of LONG_STEP before it."""
    with start(LONG_STEP, memory.work_bytes(LONG_STEP)) as url:
        with connect(url) as link:
            fill(link, Region.batch, rows(LONG_STEP, LONG_STEP.batch))
        yield url


def until(line: Line, wanted) -> list[Frame]:
    """Frames up to the first that is `wanted`."""
    got = [line.frame()]
    while not wanted(got[-1]):
        got.append(line.frame())
    return got


def test_long_work_tells_its_progress(busy):
    with Line(busy) as line:
        line.send(encode(STEP))
        frames = [line.frame() for _ in range(3)]
        done = [REPLY["progress"].unpack(frame.payload) for frame in frames]
        assert {frame[:2] for frame in frames} == {(STEP.sequence, MESSAGE["progress"])}
        queries = -(-LIMIT["progress_macs"] // (LONG_STEP.batch * LONG_STEP.macs))
        assert [d.done for d in done] == [queries, 2 * queries, 3 * queries]
        assert {d.total for d in done} == {1_000_001}
        line.send(encode(request(10, "cancel")))
        until(line, lambda frame: frame.code == MESSAGE["error"])


def test_a_coordinate_wise_step_tells_its_progress_by_what_it_computes(native_executable, tmp_path):
    plan = devices.dense_plan(64, 256, 10, batch=256, phases=(Phase(Estimator.cge),))
    with devices.native(native_executable, plan, tmp_path, "--work-bytes", str(memory.work_bytes(plan))) as url:
        with connect(url) as link:
            fill(link, Region.batch, rows(plan, plan.batch))
        with Line(url) as line:
            line.send(encode(STEP))
            *told, answer = until(line, lambda frame: frame.code == MESSAGE["step"])
    macs, told = REPLY["step"].unpack(answer.payload).macs, [REPLY["progress"].unpack(f.payload) for f in told]
    # a frame goes out where 20 million more are reached, at most a sample's work later
    each = LIMIT["progress_macs"]
    assert macs // (each + macs // plan.batch) <= len(told) <= macs // each
    assert len(told) > 1 and told == sorted(told, key=lambda t: t.done) and {t.total for t in told} == {plan.batch}


def test_what_arrives_during_work_is_answered_with_progress_and_not_carried_out(busy):
    with Line(busy) as line:
        line.send(encode(STEP))
        line.send(encode(STEP) + b"rubbish\0" + encode(request(77, "reset")) + encode(HELLO))
        until(line, lambda frame: frame == BAD_FRAME)
        assert until(line, lambda frame: frame.sequence == 77)[-1].code == MESSAGE["progress"]
        assert until(line, lambda frame: frame.sequence == 0)[-1].code == MESSAGE["progress"]
        line.send(encode(request(78, "cancel")))
        assert error(until(line, lambda frame: frame.code == MESSAGE["error"])[-1])[0] == CODE["cancelled"]
        assert error(line.ask(STEP))[0] == CODE["cancelled"], (
            "from store: a repeated frame does not begin the work again"
        )


def test_cancel_leaves_everything_as_it_was(busy):
    with connect(busy) as link:
        before = link.request("status"), read_parameters(link, LONG_STEP)
    with Line(busy) as line:
        line.send(encode(STEP))
        line.frame()
        line.send(encode(request(10, "cancel")))
        until(line, lambda frame: frame.code == MESSAGE["error"])
        assert line.ask(request(11, "cancel")) == Frame(11, MESSAGE["cancel"], b""), (
            "idle, it is a request like any other"
        )
    with connect(busy) as link:
        assert (link.request("status"), read_parameters(link, LONG_STEP)) == before


def test_control_c_cancels_the_step_and_goes_on(busy, monkeypatch):
    monkeypatch.setattr(link_module, "CANCEL_S", 60.0)  # more than a busy machine takes to let go

    def interrupt(done, total):
        raise KeyboardInterrupt

    with connect(busy) as link:
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            link.request("step", step=0, region=Region.batch, on_progress=interrupt)
        assert link.request("status")[0].state.step == 0
        assert time.monotonic() - started < link_module.CANCEL_S, "let go at once, not by running out of patience"


def test_who_comes_in_the_middle_of_a_step_is_answered_and_may_stop_it(busy):
    """As on a board: the host that asked for the step has died, the next one is neither kept waiting nor deaf."""
    with Line(busy) as line:
        line.send(encode(STEP))
        assert line.frame().code == MESSAGE["progress"]
    with Line(busy) as line:
        line.send(encode(HELLO))
        assert until(line, lambda frame: frame.sequence == HELLO.sequence)[-1].code == MESSAGE["progress"]
        line.send(encode(request(10, "cancel")))
        refusal = until(line, lambda frame: frame.code == MESSAGE["error"])[-1]
        assert (refusal.sequence, error(refusal)[0]) == (STEP.sequence, CODE["cancelled"])
        assert line.step_count() == 0


def test_progress_keeps_a_patient_host_waiting(busy):
    """The step lasts longer than the host would bear silence."""
    training, phase_0, phase_1 = training_records(LONG_STEP.training)
    with connect(busy) as link:
        calls = itertools.count()
        link.request(
            "configure", training=training, phase_0=PhaseRecord(**vars(phase_0) | {"n_queries": 2000}), phase_1=phase_1
        )
        reply, _ = link.request("step", step=0, region=Region.batch, timeout=5, on_progress=lambda *_: next(calls))
        assert reply.evaluations == 2001
        due = 2001 // -(-LIMIT["progress_macs"] // (LONG_STEP.batch * LONG_STEP.macs))
        assert due <= next(calls) <= due + link.repeats  # a repetition is answered by one more, on a busy machine


# ---- the host's errors


def silent_server(answer=None):
    server = socket.create_server(("127.0.0.1", 0))

    def run():
        client, _ = server.accept()
        with client:
            while client.recv(4096):
                if answer is not None:
                    client.sendall(answer)

    threading.Thread(target=run, daemon=True).start()
    return server, f"socket://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(("babble", "says"), [(None, "has not answered"), (b"ready\0", "damaged frames")])
def test_a_line_without_a_device_is_given_up_with_a_next_step(babble, says):
    server, url = silent_server(babble)
    with server, connect(url) as link, pytest.raises(LinkError, match=says) as caught:
        link.hello(timeout=2)
    assert caught.value.exit_code == 4 and caught.value.hint
    assert link.repeats >= 1


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
        ("socket://127.0.0.1:1", "nobody listens"),
        ("socket://127.0.0.1", "names no port"),
        ("sokket://127.0.0.1:1", "names no port"),
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
