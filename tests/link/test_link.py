# SPDX-License-Identifier: MIT
"""The link: requests and refusals. Both device sides, C and Python, answer alike; a repeated request is answered from
store, and a refused one changes nothing."""

import dataclasses
import random
import socket
import threading
import zlib
from contextlib import contextmanager

import devices
import numpy as np
import pytest
from devices import (
    CODE,
    HELLO,
    PLAIN,
    SMALL,
    STEP,
    WORK_BYTES,
    Line,
    connect,
    error,
    fill,
    read_parameters,
    request,
    rows,
)
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
    PhaseRecord,
    Region,
    StateRecord,
    TrainingRecord,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.packing import Packing
from ttzo.exporter.writers.to_bundle import model_hash, training_records
from ttzo.host_tools.device.frames import BAD_FRAME, Frame, decode, encode
from ttzo.host_tools.reference.network import sparse_rows

pytestmark = pytest.mark.usefixtures("quick")


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
    session = (5,) if messages else ()
    numbers = (HASH ^ 1, *messages, *session)
    hello = b"".join(number.to_bytes(4, "little") for number in numbers) + (more if messages else b"")
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
        again, _ = link.request("step", step=0, region=Region.batch)
        assert again == reply, "the last step is answered again"
        for wrong in (2, 3, 2**32 - 1):
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
        if kind == "u8[16]":
            return rng.randbytes(16)
        assert kind == "state", f"{name}: say what this test sends as {kind}"
        return bytes([rng.randrange(3), 0, 0, 0, rng.choice([0, 0, 1])]).ljust(StateRecord.SIZE, b"\0")

    def packed_rows(self) -> bytes:
        """Of at most 20 bytes, now and then one too many or with a bit turned."""
        rng, region = self.rng, self.rng.choice([Region.batch, Region.dataset])
        content = rng.choice([rng.randbytes(8), bytes(8)]) + rng.choice(
            [b"", bytes(rng.randrange(12)), rng.randbytes(3)]
        )
        count, packed = SMALL.packing.pack(content, 100)
        packed = bytearray(packed + bytes(rng.random() < 0.1))
        packed[rng.randrange(len(packed))] ^= (rng.random() < 0.2) << rng.randrange(8)
        return REQUEST["write_packed"](region, rng.choice([0, 1, 3]), count + (rng.random() < 0.1)).pack() + packed

    def request(self, sequence: int) -> Frame:
        rng, name = self.rng, self.rng.choice([*self.names, "step", "step"])
        if name == "configure":
            parts = [b ^ (rng.random() < 0.01 and i not in self.kept) for i, b in enumerate(self.settings)]
            payload = bytes(parts)
        else:
            payload = b"".join(self.field(*field) for field in REQUEST[name].FIELDS)
        if name in ("write", "write_packed"):
            payload += rng.randbytes(rng.choice([0, 1, 4, 20, 1000]))
        if name == "write_packed" and rng.random() < 0.7:
            payload = self.packed_rows()
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
    unpacked = [
        MESSAGE["write_packed"] == asked.code == told.code for asked, told in zip(script, answers[0], strict=True)
    ]
    assert sum(unpacked) > 10
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
                if length > size and name in ("write", "write_packed", "hello"):
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
        *(request(1, "write_packed", region=Region.batch, offset=at, count=1) for at in (SMALL.batch * 5, 2**32 - 1)),
        request(1, "write_packed", region=Region.batch, offset=1, count=2**32 - 1),
        *(request(1, "commit", region=region, count=2**32 - at, crc=0) for region in range(4) for at in (1, 2**31)),
        *(request(1, "evaluate", region=2, first_row=2**32 - at, n_rows=at) for at in (1, 4, 4096)),
        request(1, "evaluate", region=2, first_row=SMALL.batch, n_rows=1),
        *(request(1, "predict", row=at + SMALL.batch - 1, first=0) for at in (1, 2**31, 2**32 - SMALL.batch)),
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
        *((request(1, "write_packed", region=region, offset=0, count=0), 0) for region in (0, 1, 4, 5, 255)),
        (request(1, "commit", region=255, count=0, crc=0), 0),
        (request(1, "step", step=0, region=0), 4),
        (request(1, "evaluate", region=1, first_row=0, n_rows=0), 0),
        *((request(1, "evaluate", region=2, first_row=0, n_rows=n), 5) for n in (4097, 2**31, 2**32 - 1)),
        *((request(1, "solution_error", region=2, first_row=0, n_rows=n), 5) for n in (4097, 2**31, 2**32 - 1)),
    ]
    with Line(url) as line:
        for frame, at in wrong:
            assert error(line.ask(frame)) == (CODE["bad_request"], at)


def test_packed_rows_are_the_same_rows_and_wrong_ones_change_nothing(url):
    content, begun = rows(SMALL, SMALL.batch, seed=5), rows(SMALL, SMALL.batch)
    count, packed = SMALL.packing.pack(content, 1000)
    wrong = [
        (packed[:-1], count),
        (packed + b"\0", count),
        (packed, count - 1),
        (b"", count),
        (b"\0", 0),
    ]
    with Line(url) as line:
        for tail, n in wrong:
            refused = line.ask(request(1, "write_packed", tail=tail, region=Region.batch, offset=0, count=n))
            assert error(refused) == (CODE["bad_packed_rows"], n)
        for whole, answer in ((content, "error"), (begun, "commit")):
            committed = request(2, "commit", region=Region.batch, count=len(whole), crc=zlib.crc32(whole))
            assert line.ask(committed).code == MESSAGE[answer]
        taken = request(3, "write_packed", tail=packed, region=Region.batch, offset=0, count=count)
        assert line.ask(taken) == taken._replace(payload=b"")
        committed = request(4, "commit", region=Region.batch, count=len(content), crc=zlib.crc32(content))
        assert line.ask(committed).code == MESSAGE["commit"]


def test_a_host_sends_rows_as_they_are_to_a_device_that_does_not_unpack(start):
    content = rows(PLAIN, PLAIN.batch)
    with start(PLAIN) as url, connect(url) as link:
        link.hello()
        link.write(Region.batch, content, packing=Packing.of_bytes(content))
        link.request("commit", region=Region.batch, count=len(content), crc=zlib.crc32(content))


def test_outputs_that_no_frame_holds_come_in_pieces_and_none_beyond_them(start):
    plan = devices.dense_plan(2, 257)
    with start(plan, 1 << 20) as url, connect(url) as link:
        fill(link, Region.batch, rows(plan, plan.batch))
        pieces = [link.request("predict", row=0, first=first)[1] for first in (0, 1, 200, 256)]
        assert [len(piece) for piece in pieces] == [1024, 1024, 57 * 4, 4]
        whole = pieces[0] + pieces[3]
        assert pieces[1] == whole[4:] and pieces[2] == whole[800:]
        with pytest.raises(DeviceError, match="outside"):
            link.request("predict", row=0, first=257)


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
        done = line.ask(STEP)
        assert [line.ask(HELLO), line.ask(HELLO)] == [line.ask(HELLO)] * 2
        assert line.ask(STEP) == done, "the last step is answered again over a new connection"
        assert line.step_count() == 1
        line.ask(request(90, "reset"))
        assert error(line.ask(request(91, "step", step=4, region=Region.batch))) == (CODE["wrong_step"], 0)
