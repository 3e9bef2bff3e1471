# SPDX-License-Identifier: MIT
"""Devices for the tests of the link: the C runtime as a process, the NumPy reference on Python's side of the link,
and a bare line to either that can say anything."""

import dataclasses
import socket
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import MESSAGE, REPLY, REQUEST, Activation, DeviceError, LayerKind, Loss, Region
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.packing import Packing
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.frames import Frame, decode, encode, hello
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import open_stream
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.reference.train.trainer import Trainer


def dense_plan(*widths: int, batch: int = 4, phases: tuple[Phase, ...] = (Phase(n_queries=3),)) -> Plan:
    """A dense tanh classifier of those widths, uint8 inputs, parameters from a seed."""
    layers, at = [], 0
    for k, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        layers.append(Layer(f"layer{k}", LayerKind.dense, n_in, n_out, at, activation=Activation.tanh))
        at += n_out * (n_in + 1)
    theta = np.random.default_rng(0).standard_normal(at).astype(np.float32)
    return Plan.of_layers(
        tuple(layers), theta, Loss.cross_entropy, Training(phases, seed=7), batch, input_scale=1 / 255
    )


PLAIN = dense_plan(3, 5, 2)
SMALL = dataclasses.replace(PLAIN, packing=Packing.of_bytes(bytes(range(256)) + bytes(40)))
WORK_BYTES = memory.work_bytes(SMALL) + 16 * SMALL.row_bytes
LONG_STEP = dense_plan(
    64, 64, 2, batch=32, phases=(Phase(n_queries=1_000_000),)
)  # minutes of work; 150 queries a PROGRESS


def rows(plan: Plan, n: int, seed: int = 1) -> bytes:
    """n rows as they travel: random inputs, then a class."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 256, (n, plan.in_features), np.uint8)
    targets = rng.integers(0, plan.out_features, (n, 1)).astype("<u2").view(np.uint8)
    return np.hstack([inputs, targets]).tobytes()


@contextmanager
def native(executable: Path, plan: Plan, folder: Path, *arguments: str) -> Iterator[str]:
    """The C runtime on that plan, at the URL it gives."""
    bundle = folder / "model.ttzo"
    bundle.write_bytes(to_bundle.write(plan))
    with subprocess.Popen([executable, bundle, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield "socket://" + process.stdout.readline().decode().split()[1]
        process.stdin.close()
        assert process.wait(60) == 0


@contextmanager
def numpy(plan: Plan, work_bytes: int = 1 << 24, sparse_bytes: int = 0) -> Iterator[str]:
    """The NumPy reference on that plan, at the URL it gives."""
    with serve(Trainer(plan, work_capacity=work_bytes, sparse_capacity=sparse_bytes), "numpy") as emulator:
        yield emulator.url


class Line:
    """A bare line: any bytes, frames as they come."""

    def __init__(self, url: str):
        host, port = url.removeprefix("socket://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)  # a busy machine is no failure
        self._buffer = b""

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frame(self) -> Frame:
        """The next frame; TimeoutError when none comes, ConnectionError when the other side hangs up."""
        while b"\0" not in self._buffer:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        frame = decode(line)
        assert frame, f"the device sent a damaged frame: {line!r}"
        return frame

    def ask(self, frame: Frame) -> Frame:
        self.send(encode(frame))
        return self.frame()

    def settle(self) -> list[Frame]:
        """All frames up to the answer to a HELLO with sequence 0 and code 1, which is left out."""
        self.send(b"\0" + encode(HELLO))
        got = []
        while (frame := self.frame())[:2] != HELLO[:2]:
            got.append(frame)
        return got

    def step_count(self) -> int:
        """Steps the device has done, asked until it has time to answer."""
        while (status := self.ask(request(201, "status"))).code != MESSAGE["status"]:
            pass
        return REPLY["status"].unpack(status.payload).state.step


def request(sequence: int, message: str, tail: bytes = b"", **fields) -> Frame:
    return Frame(sequence, MESSAGE[message], REQUEST[message](**fields).pack() + tail)


HELLO = Frame(0, MESSAGE["hello"], hello(1))


def error(frame: Frame) -> tuple[int, int]:
    """Code and detail of a refusal."""
    assert frame.code == MESSAGE["error"], frame
    reply = REPLY["error"].unpack(frame.payload)
    return reply.error, reply.detail


def fill(link: Link, region: Region, data: bytes) -> None:
    """Writes and commits a region."""
    for at in range(0, len(data), 1000):
        link.request("write", tail=data[at : at + 1000], region=region, offset=at)
    link.request("commit", region=region, count=len(data), crc=zlib.crc32(data))


def read_parameters(link: Link, plan: Plan) -> bytes:
    size, made = 4 * plan.n_parameters, b""
    while len(made) < size:
        made += link.request("read", region=Region.parameters, offset=len(made), count=min(1020, size - len(made)))[1]
    return made


def connect(url: str) -> Link:
    return Link(open_stream(url))


STEP = request(9, "step", step=0, region=Region.batch)
CODE = {
    name: DeviceError(name).code
    for name in (
        "unknown_message",
        "bad_request",
        "bad_contract",
        "out_of_range",
        "wrong_step",
        "cancelled",
        "bad_packed_rows",
    )
}
