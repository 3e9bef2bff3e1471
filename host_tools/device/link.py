# SPDX-License-Identifier: MIT
"""The host side of the serial link: one request after the other over a line that may lose, damage or repeat bytes.

A frame is `COBS(u8 sequence, u8 code, payload, u32 CRC-32 of all before)` and the delimiter 0x00; the payload is the
message's record of the contract, then its tail. A reply repeats the request's sequence (1 to 255) and code; a refusal
has the code of ERROR, a sign of life during long work that of PROGRESS. The host repeats the identical frame when it
hears nothing; the device answers a repeated frame from store, so that nothing is carried out twice. Sequence 0 is the
device's `bad_frame`, which belongs to no request. A frame begins with a delimiter of its own, so that what was lost
before it costs only itself; empty frames mean nothing.

This is the one module that imports pyserial.
"""

import errno
import random
import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import serial
from cobs import cobs

from ttzo.device_runtime.contract import (
    HASH,
    LIMIT,
    MESSAGE,
    MESSAGE_HASH,
    REPLY,
    REQUEST,
    DeviceError,
    ExitCode,
    HelloReply,
    HelloRequest,
    ProgressReply,
    TtzoError,
    error_page,
)
from ttzo.exporter.plan.printable import printable_name
from ttzo.host_tools.device.replies import ReplyError, require_length, require_range

FRAME_BYTES = 2 + LIMIT["max_payload"] + 4
LINE_BYTES = FRAME_BYTES + FRAME_BYTES // 254 + 1

READ_S = 0.05  # how long one look at the line waits for its first byte
FIRST_SILENCE_S = 1.0  # until a request is repeated; doubled each time
LONGEST_SILENCE_S = 8.0
LONGEST_S = 600.0  # that a request takes when its caller names no limit
FIRST_NOTICE_S = 5.0  # until the person hears what is waited for; doubled each time
DAMAGE_PAUSE_S = 0.05  # until a request is repeated after a damaged frame: its answer may follow
WRITE_S = 10.0
CANCEL_S = 3.0  # how long Ctrl-C waits for the device to let go
CANCEL_SILENCE_S = 0.5
WITH_TAIL = ("read", "predict")  # whose replies go on behind their record


class LinkError(TtzoError):
    """The line to the device is missing, busy, silent or cut."""

    exit_code = ExitCode.device


# ---- frames ---------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    sequence: int
    code: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """The frame's bytes on the line, delimiter included."""
    raw = bytes([frame.sequence, frame.code]) + frame.payload
    return cobs.encode(raw + zlib.crc32(raw).to_bytes(4, "little")) + b"\0"


def decode(line: bytes) -> Frame | None:
    """The frame between two delimiters; None when it is damaged."""
    try:
        raw = cobs.decode(line)
    except cobs.DecodeError:
        return None
    if not 6 <= len(raw) <= FRAME_BYTES or zlib.crc32(raw[:-4]).to_bytes(4, "little") != raw[-4:]:
        return None
    return Frame(raw[0], raw[1], raw[2:-4])


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """What stands between the delimiters of `buffer`, and the frame that has only begun. Of a frame that is too long
    to be one, enough is kept to know it for damaged."""
    *whole, rest = buffer.split(b"\0")
    return [line for line in whole if line], rest[: LINE_BYTES + 1]


# How a host begins. The device answers it whatever its contract, and LEAVE too if it has the same two messages.
HELLO = HelloRequest(HASH, MESSAGE_HASH["hello"], MESSAGE_HASH["leave"]).pack()
BAD_FRAME = Frame(0, MESSAGE["error"], REPLY["error"](DeviceError("bad_frame").code, 0).pack())


# ---- the stream -----------------------------------------------------------------------------------------------------

_OPEN_ERRORS = {
    errno.ENOENT: ("there is no port {url}", "is the board plugged in? `ttzo boards` and the system's device list name ports"),
    errno.EACCES: ("no permission for port {url}", "add yourself to the port's group (often `dialout`) and log in again"),
    errno.EBUSY: ("port {url} is in use by another program", "close the other program (a serial monitor?) and try again"),
    errno.EAGAIN: ("port {url} is in use by another program", "close the other program (a serial monitor?) and try again"),
}  # fmt: skip


def open_stream(url: str, baud: int = 115200) -> serial.Serial:
    """Opens a serial port or `socket://HOST:PORT`. Raises `LinkError` when it is missing, busy or not one."""
    is_socket = url.startswith("socket://")
    try:
        if is_socket and urlsplit(url).port is None:
            raise ValueError("it lacks the port's number")
        stream = serial.serial_for_url(url, do_not_open=True, baudrate=baud, timeout=READ_S, write_timeout=WRITE_S)
        if not is_socket:
            stream.exclusive = True
        stream.open()
    except (ValueError, TypeError) as error:
        raise LinkError(
            f"{url} is not a valid port: {error}", "use /dev/ttyACM0, COM3 or socket://HOST:PORT"
        ) from error
    except OSError as error:
        if is_socket:
            raise LinkError(f"nothing listens at {url}", "start the device first: `ttzo emulate`") from error
        what, hint = _OPEN_ERRORS.get(
            error.errno or 0, ("port {url} cannot be opened: {error}", "check that it is a serial port")
        )
        raise LinkError(what.format(url=url, error=error), hint) from error
    return stream


def list_ports() -> list[tuple[str, str]]:
    """Serial ports of this machine that may lead to a board, each with what the system says of it."""
    from serial.tools.list_ports import comports

    return sorted((port.device, port.description) for port in comports() if port.description != "n/a")


# ---- the link -------------------------------------------------------------------------------------------------------


class Link:
    """Requests and replies over an open pyserial stream. One request at a time, from one thread.

    `repeats` counts the frames that had to be sent again. `on_wait(text)` hears what is waited for, and how long at most.
    """

    def __init__(self, stream: serial.Serial):
        self._stream = stream
        self._name = stream.port or "the line"
        self._is_socket = str(stream.port).startswith("socket://")
        self._sequence = random.randrange(1, 256)
        self._rest = b""
        self._frames: deque[Frame] = deque()
        self.repeats = 0
        self.on_wait: Callable[[str], Any] = lambda text: None
        stream.timeout = READ_S

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hello(self, timeout: float = 10.0, limit: float = LONGEST_S) -> HelloReply:
        """Who is there and what is loaded. Raises `DeviceError`: `bad_contract` when the device was built from another
        contract, the device's own reason when it has no model."""
        payload = self._ask("hello", HELLO, timeout, limit, None)
        reply = HelloReply.unpack(payload.ljust(HelloReply.SIZE, b"\0"))
        if reply.contract_hash != HASH:
            raise _other_contract(reply)
        require_length("hello", len(payload), HelloReply.SIZE)
        if reply.n_parameters == 0:
            self.request("status")
        return reply

    def request(
        self,
        message: str,
        tail: bytes = b"",
        timeout: float = 10.0,
        on_progress: Callable[[int, int], Any] | None = None,
        limit: float = LONGEST_S,
        **fields: Any,
    ) -> tuple[Any, bytes]:
        """Asks and waits: the reply's record, whose class `message` names (a caller annotates it), and the bytes after it.

        `timeout` is the longest silence in seconds before giving up; PROGRESS that goes on breaks it and calls
        `on_progress(done, total)`. `limit` is the longest wait in seconds whatever comes. Raises `DeviceError` when the
        device refuses, `ReplyError` when its answer has the wrong length or an unknown error, `LinkError` when the line
        is silent or cut. On Ctrl-C the device is asked to stop, then `KeyboardInterrupt` goes on; the request may have
        been carried out by then, STATUS knows.
        """
        payload = REQUEST[message](**fields).pack() + tail
        if len(payload) > LIMIT["max_payload"]:
            raise ValueError(f"{message}: {len(payload)} bytes of payload, at most {LIMIT['max_payload']} can be sent")
        return _open(message, self._ask(message, payload, timeout, limit, on_progress))

    def _ask(
        self,
        message: str,
        payload: bytes,
        timeout: float,
        limit: float,
        on_progress: Callable[[int, int], Any] | None,
    ) -> bytes:
        request = Frame(self._next_sequence(), MESSAGE[message], payload)
        wait = _Wait(f"{self._name} to answer {message.upper()}", timeout, limit, self.on_wait)
        try:
            answer = self._exchange(request, wait, on_progress)
        except KeyboardInterrupt:
            self._cancel(request.sequence)
            raise
        if answer.code == MESSAGE["error"]:
            raise _refusal(message, answer.payload)
        return answer.payload

    def _exchange(self, request: Frame, wait: "_Wait", on_progress: Callable[[int, int], Any] | None) -> Frame:
        """Sends the request until its answer is there."""
        silence, damaged, told = FIRST_SILENCE_S, False, None
        self._send(request)
        repeat_at = time.monotonic() + silence
        while wait.goes_on():
            answer = self._next_frame(min(repeat_at, wait.until))
            now = time.monotonic()
            if answer is None:
                if now < repeat_at:
                    continue
                self._send(request)
                self.repeats += 1
                silence = min(2 * silence, LONGEST_SILENCE_S)
                repeat_at = now + silence
            elif answer == BAD_FRAME:
                damaged = True
                repeat_at = min(repeat_at, now + DAMAGE_PAUSE_S)
            elif answer.sequence != request.sequence:
                continue  # a late answer to an earlier repetition
            elif answer.code == MESSAGE["progress"]:
                progress = _progress(answer.payload)
                if progress != told:  # a device that goes on telling the same does not go on
                    told = progress
                    wait.begin_anew()
                repeat_at = now + silence
                if on_progress:
                    on_progress(progress.done, progress.total)
            elif answer.code in (request.code, MESSAGE["error"]):
                return answer
        raise self._given_up(wait, damaged, told)

    def _given_up(self, wait: "_Wait", damaged: bool, told: ProgressReply | None) -> LinkError:
        if damaged:
            return LinkError(
                f"only damaged frames pass between here and {self._name}",
                "look at the cable, and give both sides the same baud rate",
            )
        if told:
            return LinkError(
                f"{self._name} has worked for {wait.spent:.0f} s without an end (at {told.done} of {told.total})",
                "reset the device and run the same command again",
            )
        return LinkError(
            f"{self._name} has not answered for {wait.spent:.3g} s",
            "is the board on, flashed by `ttzo flash`, and this its port and baud rate? Then reset it and try again",
        )

    def _cancel(self, running: int) -> None:
        """Asks the device to stop until the running request or the CANCEL is answered; gives up without a word."""
        cancel = Frame(self._next_sequence(), MESSAGE["cancel"], b"")
        end = time.monotonic() + CANCEL_S
        with suppress(LinkError):
            while time.monotonic() < end:
                self._send(cancel)
                until = min(end, time.monotonic() + CANCEL_SILENCE_S)
                while answer := self._next_frame(until):
                    if answer.sequence in (running, cancel.sequence) and answer.code != MESSAGE["progress"]:
                        return

    # ---- bytes

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % 255 + 1
        return self._sequence

    def _send(self, frame: Frame) -> None:
        try:
            self._stream.write(b"\0" + encode(frame))
        except serial.SerialTimeoutException as error:
            raise LinkError(
                f"{self._name} does not accept data (write timed out)", "reset the board and try again"
            ) from error
        except OSError as error:
            raise self._cut(error) from error

    def _next_frame(self, until: float) -> Frame | None:
        """The next frame, a damaged one as BAD_FRAME; None when there is none at the time `until`."""
        while not self._frames:
            if time.monotonic() >= until:
                return None
            lines, self._rest = split(self._rest + self._read())
            self._frames.extend(decode(line) or BAD_FRAME for line in lines)
        return self._frames.popleft()

    def _read(self) -> bytes:
        """What has arrived; waits up to READ_S for the first byte."""
        try:
            data = self._stream.read(max(1, self._stream.in_waiting))
            if data and self._is_socket:  # there, in_waiting only tells whether there is anything
                self._stream.timeout = 0
                data += self._stream.read(1 << 16)
                self._stream.timeout = READ_S
        except OSError as error:
            raise self._cut(error) from error
        return data

    def _cut(self, error: OSError) -> LinkError:
        return LinkError(
            f"the connection to {self._name} broke off: {error}",
            "connect the device again; training goes on from its checkpoint",
        )


class _Wait:
    """How long a request may take: `timeout` seconds of silence, `limit` seconds in all. Tells about it now and then."""

    def __init__(self, what: str, timeout: float, limit: float, tell: Callable[[str], Any]):
        self._what, self._timeout, self._tell = what, timeout, tell
        self._began = time.monotonic()
        self._end = self._began + max(limit, timeout)
        self._notice = FIRST_NOTICE_S
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


def board_name(reply: HelloReply) -> str:
    """The name that a device gives itself, made fit for terminals and files."""
    return printable_name(reply.board.rstrip(b"\0").decode(errors="replace"))


def _other_contract(reply: HelloReply) -> DeviceError:
    """Says which board it is where the device has the same HELLO."""
    error = DeviceError("bad_contract")
    if reply.hello_hash == MESSAGE_HASH["hello"]:
        error.hint = f"the device is {board_name(reply)}: {error.hint}"
    return error


def _open(message: str, payload: bytes) -> tuple[Any, bytes]:
    """A reply's record, and the bytes behind it where it may have some."""
    record = REPLY[message]
    if len(payload) < record.SIZE or message not in WITH_TAIL:
        require_length(message, len(payload), record.SIZE)
    return record.unpack(payload), payload[record.SIZE :]


def _progress(payload: bytes) -> ProgressReply:
    progress: ProgressReply
    progress, _ = _open("progress", payload)
    require_range("progress", "done", progress.done, 0, progress.total)
    return progress


def _refusal(message: str, payload: bytes) -> TtzoError:
    """The error that an ERROR frame means. What answers a HELLO may be of another contract, and its errors unknown."""
    if message != "hello":
        require_length("error", len(payload), REPLY["error"].SIZE)
    error = REPLY["error"].unpack(payload.ljust(REPLY["error"].SIZE, b"\0"))
    if message != "hello" and (error.error not in error_page() or error.error == 0):
        return ReplyError("error", "error", error.error, "the contract has no such error")
    return DeviceError.from_code(error.error or DeviceError("bad_contract").code, error.detail)
