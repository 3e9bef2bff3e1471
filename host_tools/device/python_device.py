# SPDX-License-Identifier: MIT
"""The device side of the link in Python: any Python trainer on a socket, for `numpy:` and `onnx:`.

    with serve(Trainer(plan), "numpy") as emulator:
        link = Link(open_stream(emulator.url))

`DeviceSide` is the twin of link.c: the same frames, checks, errors, stored answer, PROGRESS and CANCEL.
"""

import select
import socket
import threading
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    HASH,
    LIMIT,
    MESSAGE,
    MESSAGE_HASH,
    REPLY,
    REQUEST,
    Access,
    AuthenticateRequest,
    CommitRequest,
    ConfigureRequest,
    DeviceError,
    EvaluateRequest,
    FrameSealRecord,
    HelloRequest,
    PredictRequest,
    ReadRequest,
    Region,
    SetStateRequest,
    SolutionErrorRequest,
    StepRequest,
    WritePackedRequest,
    WriteRequest,
)
from ttzo.exporter.writers.to_bundle import model_hash
from ttzo.host_tools.device import unix_socket
from ttzo.host_tools.device.frames import BAD_FRAME, Frame, decode, encode, split
from ttzo.host_tools.device.key_session import SEALED, Gate
from ttzo.host_tools.firmware.key_file import Lock
from ttzo.host_tools.reference.train.trainer import Trainer

_REQUEST_NAMES = {code: name for name, code in MESSAGE.items() if name not in ("progress", "error")}
_WITH_TAIL = ("write", "write_packed", "hello")
_HASH_BYTES = 4  # all that the HELLO of any contract has: the contract's hash
_ROWS = (Region.batch, Region.dataset)
_WRITABLE = (Region.parameters, Region.moments, *_ROWS, Region.sparse)
_NUMBERS = (Region.parameters, Region.moments)
SEND_S = 10.0


class DeviceSide:
    """Answers what `receive()` (bytes that have arrived, b"" when none; never waits) brings, through `send(bytes)`. With
    `lock` it takes orders from holders of that key only."""

    def __init__(
        self,
        trainer: Trainer,
        board_name: str,
        receive: Callable[[], bytes],
        send: Callable[[bytes], Any],
        lock: Lock | None = None,
    ):
        self._trainer, self._board, self._receive, self._send = (
            trainer,
            board_name.encode()[: LIMIT["board_name_bytes"]],
            receive,
            send,
        )
        self._rest = b""
        self._lines: deque[bytes] = deque()
        self._foreign = False  # the last HELLO came from another contract
        self._foreign_leave = False  # whose LEAVE is not ours either
        self._session = self._session_before = 0  # of the last HELLO, and of the last one that had another
        self._asked_session = 0  # of the last HELLO; with a key it counts once it has proved to have the key
        self._gate = Gate(lock) if lock else None
        self._room = LIMIT["max_payload"]  # bytes that a reply may have before its seal
        self._done: Any = None  # the last step's answer, while what it left stands
        self._last: Frame | None = None  # the request that `_answer` belongs to
        self._answer = b""
        self._running = 0
        self._macs_per_unit = self._reported = 0
        trainer.poll = self._while_working

    def poll(self) -> None:
        """Takes all that has arrived, answers it, and returns."""
        while (line := self._next_line()) is not None:
            frame = decode(line)
            self._send(self._answer_to(frame) if frame else encode(BAD_FRAME))

    def _next_line(self) -> bytes | None:
        while not self._lines:
            data = self._receive()
            if not data:
                return None
            lines, self._rest = split(self._rest + data)
            self._lines.extend(lines)
        return self._lines.popleft()

    def _while_working(self, done: int, total: int) -> bool:
        """The trainer's hook between loss evaluations; whatever comes is answered with PROGRESS under its own number."""
        while (line := self._next_line()) is not None:
            frame = decode(line)
            if frame is None:
                self._send(encode(BAD_FRAME))
            elif self._gate.cancels(frame) if self._gate else frame[1:] == (MESSAGE["cancel"], b""):
                return False
            else:
                self._send_progress(frame.sequence, done, total)
        if (done - self._reported) * self._macs_per_unit >= LIMIT["progress_macs"]:
            self._reported = done
            self._send_progress(self._running, done, total)
        return True

    def _send_progress(self, sequence: int, done: int, total: int) -> None:
        self._send(encode(Frame(sequence, MESSAGE["progress"], REPLY["progress"](done, total).pack())))

    def _begin_work(self, macs_per_unit: int) -> None:
        self._macs_per_unit, self._reported = macs_per_unit, 0

    # ---- dispatch

    def _answer_to(self, frame: Frame) -> bytes:
        """The reply's bytes: from store when the request is the last one again. A refusal for want of the key leaves the
        stored answer as it is."""
        try:
            request = self._gate.admit(frame, frame == self._last) if self._gate else frame
        except DeviceError as error:
            return encode(_refusal(frame.sequence, error))
        if frame != self._last:
            is_sealed = self._gate is not None and bool(frame.code & SEALED)
            self._room = LIMIT["max_payload"] - (FrameSealRecord.SIZE if is_sealed else 0)
            self._last, self._running = None, request.sequence
            try:
                answer = Frame(
                    request.sequence, request.code, self._carry_out(request.code, request.payload, is_sealed)
                )
            except DeviceError as error:
                answer = _refusal(request.sequence, error)
            self._answer = encode(self._gate.seal(answer) if self._gate and is_sealed else answer)
            self._last = None if request.code == MESSAGE["hello"] else frame
        return self._answer

    def _carry_out(self, code: int, payload: bytes, is_sealed: bool) -> bytes:
        name = _REQUEST_NAMES.get(code)
        if name is None:
            raise DeviceError("unknown_message", code)
        record = REQUEST[name]
        least = _HASH_BYTES if name == "hello" else record.SIZE
        if len(payload) < least or (len(payload) > least and name not in _WITH_TAIL):
            raise DeviceError("bad_request", len(payload))
        if self._foreign_leave if name == "leave" else self._foreign and name != "hello" and not is_sealed:
            raise DeviceError("bad_contract")
        fields = payload if len(payload) >= record.SIZE else payload[:least].ljust(record.SIZE, b"\0")
        return getattr(self, f"_{name}")(record.unpack(fields), payload[record.SIZE :])

    # ---- requests: each checks its fields, calls the trainer and gives the reply's payload

    def _hello(self, request: HelloRequest, _: bytes) -> bytes:
        trainer, plan = self._trainer, self._trainer.plan
        same, self._asked_session = request.session == self._asked_session, request.session
        if self._gate is None:
            self._take_session()
        ours = (MESSAGE_HASH["hello"], MESSAGE_HASH["leave"])
        self._foreign = request.contract_hash != HASH
        self._foreign_leave = self._foreign and (request.hello_hash, request.leave_hash) != ours
        return REPLY["hello"](
            contract_hash=HASH,
            hello_hash=MESSAGE_HASH["hello"],
            leave_hash=MESSAGE_HASH["leave"],
            model_hash=model_hash(plan),
            board=self._board,
            n_parameters=plan.n_parameters,
            n_moments=trainer.n_moments,
            row_bytes=trainer.row_bytes,
            batch=plan.batch,
            dataset_capacity=trainer.dataset_capacity,
            macs_per_sample=trainer.macs_per_sample,
            work_bytes=trainer.work_bytes,
            work_capacity=trainer.work_capacity,
            sparse_capacity=trainer.sparse_capacity,
            session_before=self._session_before if self._asked_session == self._session else self._session,
            payload_bytes=LIMIT["max_payload"],
            access=self._gate.access if self._gate else Access.open,
            challenge=self._gate.challenge(same) if self._gate else bytes(LIMIT["challenge_bytes"]),
        ).pack()

    def _take_session(self) -> None:
        """The host of the last HELLO is the one that uses the device from now on."""
        if self._asked_session != self._session:  # else it is the same HELLO again
            self._session_before, self._session = self._session, self._asked_session

    def _authenticate(self, request: AuthenticateRequest, _: bytes) -> bytes:
        if self._gate is None:
            raise DeviceError("unknown_message", MESSAGE["authenticate"])
        proof = self._gate.begin(request, self._asked_session)
        self._take_session()
        return REPLY["authenticate"](proof=proof).pack()

    def _status(self, *_: Any) -> bytes:
        return REPLY["status"](self._trainer.state, self._trainer.training, *self._trainer.phases).pack()

    def _configure(self, request: ConfigureRequest, _: bytes) -> bytes:
        self._trainer.configure(request.training, request.phase_0, request.phase_1)
        return b""

    def _read(self, request: ReadRequest, _: bytes) -> bytes:
        _check(request.region in _NUMBERS, 0)
        _check(request.count <= self._room - REPLY["read"].SIZE, 5)
        trainer, end = self._trainer, request.offset + request.count
        piece = trainer.read(request.region, request.offset, request.count)
        size = 4 * (trainer.plan.n_parameters if request.region == Region.parameters else trainer.n_moments)
        crc = zlib.crc32(trainer.read(request.region, 0, size)) if end == size else 0
        return REPLY["read"](crc).pack() + piece

    def _write(self, request: WriteRequest, tail: bytes) -> bytes:
        _check(request.region in _WRITABLE, 0)
        self._trainer.write(request.region, request.offset, tail)
        return b""

    def _write_packed(self, request: WritePackedRequest, tail: bytes) -> bytes:
        if self._trainer.plan.packing is None:
            raise DeviceError("unknown_message", MESSAGE["write_packed"])
        _check(request.region in _ROWS, 0)
        self._trainer.write_packed(request.region, request.offset, request.count, tail)
        return b""

    def _commit(self, request: CommitRequest, _: bytes) -> bytes:
        _check(request.region in _WRITABLE, 0)
        self._done = None
        self._trainer.commit(request.region, request.count, request.crc)
        return b""

    def _set_state(self, request: SetStateRequest, _: bytes) -> bytes:
        self._done = None
        self._trainer.set_state(request.state)
        return b""

    def _step(self, request: StepRequest, _: bytes) -> bytes:
        trainer = self._trainer
        _check(request.region in ((Region.collocation,) if trainer.plan.pde else (*_ROWS, Region.sparse)), 4)
        if self._done and self._done.step == trainer.state.step == request.step + 1:
            return self._done.pack()
        if request.step != trainer.state.step:
            raise DeviceError("wrong_step", trainer.state.step)
        self._begin_work(trainer.plan.batch * trainer.macs_per_row)
        result = trainer.step(request.region)
        numbers = result.phase, result.loss, result.gradient_norm, result.evaluations, result.macs
        self._done = REPLY["step"](trainer.state.step, *numbers)
        return self._done.pack()

    def _evaluate(self, request: EvaluateRequest, _: bytes) -> bytes:
        _check(request.region in _ROWS, 0)
        _check(request.n_rows <= LIMIT["max_rows_asked"], 5)
        self._begin_work(self._trainer.macs_per_sample)
        return REPLY["evaluate"](*self._trainer.evaluate(request.region, request.first_row, request.n_rows)).pack()

    def _solution_error(self, request: SolutionErrorRequest, _: bytes) -> bytes:
        _check(request.region in (*_ROWS, *((Region.collocation,) if self._trainer.plan.pde else ())), 0)
        _check(request.n_rows <= LIMIT["max_rows_asked"], 5)
        self._begin_work(self._trainer.macs_per_sample)
        sums = self._trainer.solution_error(request.region, request.first_row, request.n_rows)
        return REPLY["solution_error"](*sums).pack()

    def _predict(self, request: PredictRequest, _: bytes) -> bytes:
        if request.first >= self._trainer.plan.out_features:
            raise DeviceError("out_of_range", request.first)
        outputs = np.asarray(self._trainer.predict(request.row), "<f4")
        return outputs[request.first :].tobytes()[: self._room // 4 * 4]

    def _reset(self, *_: Any) -> bytes:
        self._done = None
        self._trainer.reset()
        return b""

    def _leave(self, *_: Any) -> bytes:
        return b""  # nothing else to do

    def _cancel(self, *_: Any) -> bytes:
        return b""  # nothing is under way

    def _keep(self, *_: Any) -> bytes:
        raise DeviceError("unknown_message", MESSAGE["keep"])  # as of a board without a memory for runs

    def _restore(self, *_: Any) -> bytes:
        raise DeviceError("unknown_message", MESSAGE["restore"])


def _refusal(sequence: int, error: DeviceError) -> Frame:
    return Frame(sequence, MESSAGE["error"], REPLY["error"](error.code, error.detail).pack())


def _check(right: bool, at: int) -> None:
    """A field out of range is `bad_request` with its place in the payload."""
    if not right:
        raise DeviceError("bad_request", at)


# ---- the socket -----------------------------------------------------------------------------------------------------


class _Closing(Exception):
    """The emulator is being closed while its trainer works."""


class Emulator:
    """A running emulated device at `url`. It serves one client after the other, in a thread, until `close()`."""

    def __init__(
        self, trainer: Trainer, board_name: str, port: int = 0, lock: Lock | None = None, path: Path | None = None
    ):
        self._device = DeviceSide(trainer, board_name, self._receive, self._send, lock)
        self._listener = unix_socket.listen(path) if path else socket.create_server(("127.0.0.1", port))
        self._woken, self._waker = socket.socketpair()
        self._client: socket.socket | None = None
        self._closing = False
        self.url = f"unix:{path}" if path else f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name=f"ttzo {board_name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends work and connection; the trainer is as after its last whole step."""
        self._closing = True
        self._waker.close()
        self._thread.join()

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        with self._listener, self._woken:
            try:
                while self._wait():
                    self._device.poll()
            except _Closing:
                pass
            finally:
                self._hang_up()

    def _wait(self) -> bool:
        """Waits for the client's bytes, or for a client; False when the emulator is being closed."""
        ready, _, _ = select.select([self._client or self._listener, self._woken], [], [])
        return self._woken not in ready

    def _pick_up(self) -> None:
        self._client, _ = self._listener.accept()
        if self._client.family == socket.AF_INET:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.settimeout(SEND_S)

    def _hang_up(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    def _receive(self) -> bytes:
        if self._closing:
            raise _Closing
        if not select.select([self._client or self._listener], [], [], 0)[0]:
            return b""
        if self._client is None:  # while a step goes on, too: as a board, it answers whoever comes
            self._pick_up()
            return b""
        try:
            data = self._client.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def _send(self, data: bytes) -> None:
        try:
            if self._client:
                self._client.sendall(data)
        except OSError:
            self._hang_up()


def serve(
    trainer: Trainer, board_name: str, port: int = 0, lock: Lock | None = None, path: Path | None = None
) -> Emulator:
    """Serves the link for the trainer on the Unix socket `path`, or on a loopback socket (port 0: any). The trainer belongs
    to the emulator until it is closed."""
    return Emulator(trainer, board_name, port, lock, path)
