# SPDX-License-Identifier: MIT
"""The host side of the serial link: one request after the other over a line that may lose, damage or repeat bytes, and
may break off.

A reply repeats the request's sequence (1 to 255) and code; a refusal has the code of ERROR, a sign of life during long
work that of PROGRESS. The host repeats a request when it hears nothing; the device answers a repeated frame from store, so
that nothing is carried out twice. Sequence 0 is the device's `bad_frame`, which belongs to no request. A frame begins with
a delimiter of its own, so that what was lost before it costs only itself; empty frames mean nothing.

Pieces of a region may have any size: they shrink where frames are damaged, and grow again. Pieces that are written, placed
by their offset, are on the line together. A connection that breaks off is opened again; a device that still has this
link's session is asked the same again, and of any other `StartedAnew` says so.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from ttzo.device_runtime.contract import (
    HASH,
    LIMIT,
    MESSAGE,
    REPLY,
    REQUEST,
    DeviceError,
    FrameSealRecord,
    HelloReply,
    ProgressReply,
    Region,
)
from ttzo.exporter.plan.packing import Packing
from ttzo.host_tools.device import no_answer
from ttzo.host_tools.device.frames import BAD_FRAME, Frame, decode, encode, hello, split
from ttzo.host_tools.device.key_session import Holder, answer_challenge
from ttzo.host_tools.device.ports import READ_S, LinkError, Stream, in_use
from ttzo.host_tools.device.region_pieces import Content
from ttzo.host_tools.device.replies import (
    board_name,
    holder_told,
    open_reply,
    other_contract,
    progress_told,
    refusal_told,
    require_length,
)
from ttzo.host_tools.device.round_trips import Pieces, RoundTrips, Wait

LONGEST_S = 600.0  # that a request takes when its caller names no limit
DAMAGE_PAUSE_S = 0.05  # until a request is repeated after a damaged frame: its answer may follow
CANCEL_S = 3.0  # how long Ctrl-C waits for the device to let go
CANCEL_SILENCE_S = 0.5
AGAIN_S = 0.2  # from one try to connect again to the next
GREETING_S = 5.0  # that a device that has come back may be silent
MOST_CUTS = 20  # connections that one request may cost
NOISE_BYTES = 512  # kept of what is no frame


class LineCut(LinkError):
    """The connection broke off, or nothing comes any more: it may be worth opening it again."""


class StartedAnew(LinkError):
    """The device was reset in mid-training, or somebody else has used it: what it holds is not what it was given."""


class Link:
    """Requests and replies over an open stream. One request at a time, from one thread.

    `repeats` counts the frames that had to be sent again, `frames` all that were sent, `cuts` the connections that were
    opened again, by `reopen()` within `patience` seconds. `on_wait(text)` hears what is waited for, and how long at most.
    `secret` is the key that the device asks for, None for one that asks for none.
    """

    def __init__(
        self,
        stream: Stream,
        reopen: Callable[[], Stream] | None = None,
        patience: float = 0.0,
        secret: bytes | None = None,
    ):
        self._stream, self._reopen, self._patience, self._secret = stream, reopen, patience, secret
        self._holder: Holder | None = None  # of the key, in the session that runs
        self._sequence = random.randrange(1, 256)
        self._session = 0  # of the last HELLO that was answered
        self._rest = self._noise = b""
        self._frames: deque[Frame] = deque()
        self._trips, self._packs = RoundTrips(), True
        self.repeats = self.frames = self.cuts = 0
        self.on_wait: Callable[[str], Any] = lambda text: None
        self._take(stream)

    @property
    def reconnects(self) -> bool:
        return self._reopen is not None

    def fit(self, payload_bytes: int) -> None:
        """The device takes and sends payloads of so many bytes at most."""
        self._trips.most_bytes = payload_bytes - (FrameSealRecord.SIZE if self._holder else 0)

    def _take(self, stream: Stream) -> None:
        self._stream, self._rest = stream, b""
        self._frames.clear()
        self._name = stream.port or "the line"
        self._is_socket = str(stream.port).startswith("socket://")
        stream.timeout = READ_S

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- requests

    def hello(self, timeout: float = 10.0, limit: float = LONGEST_S) -> HelloReply:
        """Who is there and what is loaded. Raises `DeviceError`: `bad_contract` when the device was built from another
        contract, the device's own reason when it has no model."""
        session = random.randrange(1, 1 << 32)
        reply = self._through_cuts(lambda: self._greet(session, timeout, limit), self._open_again)
        self._session = session
        if reply.n_parameters == 0:
            self.request("status", timeout=timeout, limit=limit)
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
        is silent or cut, `StartedAnew` when it was and the device has forgotten. On Ctrl-C the device is asked to stop,
        then `KeyboardInterrupt` goes on; the request may have been carried out by then, STATUS knows.
        """
        payload = REQUEST[message](**fields).pack() + tail
        if len(payload) > LIMIT["max_payload"]:
            raise ValueError(f"{message}: {len(payload)} bytes of payload, at most {LIMIT['max_payload']} can be sent")

        def ask() -> bytes:
            request = self._frame(message, payload)
            return self._ask(message, lambda: request, timeout, limit, on_progress)

        return open_reply(message, self._through_cuts(ask, self._reconnect))

    def read(self, region: Region, offset: int, most: int, timeout: float = 10.0, limit: float = LONGEST_S):
        """The reply's record and 1 to `most` bytes of a region from `offset` on, fewer the worse the line is."""
        asked = set()

        def make() -> Frame:
            wanted = min(most, max(4, (self._trips.piece_bytes - REPLY["read"].SIZE) // 4 * 4))
            asked.add(wanted)
            payload = REQUEST["read"](region=region, offset=offset, count=wanted).pack()
            return self._frame("read", payload)

        reply, content = open_reply(
            "read", self._through_cuts(lambda: self._ask("read", make, timeout, limit, None), self._reconnect)
        )
        if len(content) not in asked:
            require_length("read", len(content), max(asked))
        return reply, content

    def write(
        self,
        region: Region,
        content: bytes,
        timeout: float = 10.0,
        limit: float = LONGEST_S,
        on_progress: Callable[[int, int], Any] | None = None,
        packing: Packing | None = None,
    ) -> None:
        """Writes `content` at the beginning of a region, several pieces at once on the line, packed where the device takes
        it. `timeout` and `limit` are those of each piece."""
        pieces, cuts = Pieces(len(content), 2 * self._trips.most_bytes), 0
        wanted = Content(region, content, packing if self._packs else None)
        while pieces.left:
            before = pieces.left
            try:
                self._write(pieces, wanted, timeout, limit, on_progress)
            except DeviceError as error:
                if error.name != "unknown_message" or wanted.packing is None:
                    raise
                self._packs, wanted.packing = False, None  # it was built without the part
                pieces.all_lost()
            except LineCut as cut:
                cuts = 1 if pieces.left < before else cuts + 1
                self._require_mendable(cut, cuts)
                self._reconnect(cut)
                pieces.all_lost()

    # ---- one request on the line

    def _greet(self, session: int, timeout: float, limit: float) -> HelloReply:
        self._holder = None
        request = self._frame("hello", hello(session))
        payload = self._ask("hello", lambda: request, timeout, limit, None)
        if payload == request.payload:
            raise LinkError(
                f"{self._name} sends back what it is sent",
                "switch the echo off; look whether its two data wires touch; is a terminal server on the line?",
            )
        reply = HelloReply.unpack(payload.ljust(HelloReply.SIZE, b"\0"))
        if reply.contract_hash != HASH:
            raise other_contract(reply)
        require_length("hello", len(payload), HelloReply.SIZE)
        self._prove(reply, session, timeout, limit)
        return reply

    def _prove(self, reply: HelloReply, session: int, timeout: float, limit: float) -> None:
        """Answers the challenge of a device that asks for a key."""
        holder = answer_challenge(self._secret, reply, session)
        if holder is None:
            return
        request = self._frame("authenticate", holder.request)
        if not holder.proves(self._ask("authenticate", lambda: request, timeout, limit, None)):
            raise DeviceError("wrong_key")
        self._holder = holder

    def _ask(
        self,
        message: str,
        make: Callable[[], Frame],
        timeout: float,
        limit: float,
        on_progress: Callable[[int, int], Any] | None,
    ) -> bytes:
        """The answer's payload. `make()` gives the frame to send, also when it is sent again."""
        wait = Wait(f"{self._name} to answer {message.upper()}", timeout, limit, self.on_wait)
        try:
            answer = self._exchange(message, make, wait, on_progress)
        except KeyboardInterrupt:
            self._cancel(self._sequence)
            raise
        if answer.code == MESSAGE["error"]:
            raise refusal_told(message, answer.payload)
        return answer.payload

    def _exchange(
        self,
        message: str,
        make: Callable[[], Frame],
        wait: Wait,
        on_progress: Callable[[int, int], Any] | None,
    ) -> Frame:
        """Sends the request until its answer is there."""
        silence, damaged, told, trips = self._trips.silence(message), False, None, 0
        sent_at = repeat_at = time.monotonic()
        sequences: set[int] = set()
        while wait.goes_on():
            now = time.monotonic()
            if now >= repeat_at:
                request = make()
                sequences.add(request.sequence)
                self._send(request)
                self.repeats += trips > 0
                if trips:
                    self._trips.lost()
                trips += 1
                repeat_at = now + silence
            answer = self._next_frame(min(repeat_at, wait.until))
            now = time.monotonic()
            if answer is None:
                if now >= repeat_at:
                    silence = self._trips.waited(message, silence)
            elif answer == BAD_FRAME:
                damaged, silence = True, self._trips.damaged(message)
                if self._session:  # the line has worked, and still does something
                    wait.begin_anew()
                repeat_at = min(repeat_at, now + min(DAMAGE_PAUSE_S, silence / 4))
            elif answer.sequence not in sequences:
                continue  # a late answer to an earlier request
            elif answer.code == MESSAGE["progress"]:
                progress = progress_told(answer.payload)
                if progress != told:  # a device that goes on telling the same does not go on
                    told = progress
                    wait.begin_anew()
                silence = self._trips.working(silence)  # it works: no need to ask so soon
                repeat_at = now + silence
                if on_progress:
                    on_progress(progress.done, progress.total)
            elif answer.code in (MESSAGE[message], MESSAGE["error"]):
                self._trips.came(message, now - sent_at, trips)
                return answer
        raise self._given_up(wait, damaged, told)

    def _write(
        self,
        pieces: Pieces,
        wanted: Content,
        timeout: float,
        limit: float,
        on_progress: Callable[[int, int], Any] | None,
    ) -> None:
        """Sends pieces until all are answered. One that is answered before those that were sent earlier shows that these,
        or their answers, are lost: frames keep their order."""
        wait = Wait(f"{self._name} to answer WRITE", timeout, limit, self.on_wait)
        silence, damaged = self._trips.silence("write"), False
        repeat_at = time.monotonic() + silence
        while pieces.left and wait.goes_on():
            while piece := pieces.next(self._trips.piece_bytes):
                message, end, payload = wanted.request(*piece, self._trips.piece_bytes)
                frame = self._frame(message, payload)
                pieces.sent(
                    frame.sequence, end, message, len(payload)
                )  # before it is: the line may break off meanwhile
                self._send(frame)
            answer = self._next_frame(min(repeat_at, wait.until))
            now = time.monotonic()
            if answer is None and now >= repeat_at:
                silence = self._trips.waited("write", silence)
                self.repeats += pieces.all_lost()
                self._trips.lost()
                repeat_at = now + silence
            elif answer == BAD_FRAME:
                damaged, silence = True, self._trips.damaged("write")
                wait.begin_anew()
                repeat_at = min(repeat_at, now + min(DAMAGE_PAUSE_S, silence / 4))
            elif answer is not None and answer.sequence in pieces.flight:
                message = pieces.flight[answer.sequence].message
                if answer.code == MESSAGE["error"]:
                    raise refusal_told(message, answer.payload)
                if answer.code != MESSAGE[message]:
                    continue
                open_reply(message, answer.payload)
                seconds, n_lost = pieces.came(answer.sequence)
                self.repeats += n_lost
                self._trips.came("write", seconds, 1 + n_lost)
                if n_lost:
                    self._trips.lost()
                silence = self._trips.silence("write")
                repeat_at = now + silence
                wait.restart()
                if on_progress:
                    on_progress(len(wanted.content) - pieces.left, len(wanted.content))
        if pieces.left:
            raise self._given_up(wait, damaged, None)

    def _given_up(self, wait: Wait, damaged: bool, told: ProgressReply | None) -> LinkError:
        noise = self._noise + self._rest  # a prompt sends no delimiter
        return no_answer.reason(self._stream, self._name, wait.spent, noise, damaged, told) or LineCut(
            f"{self._name} has not answered for {wait.spent:.3g} s",
            "is the board on, flashed, and this its port and baud rate? In a board file of your own, check uart and uart_irq",
        )

    def _cancel(self, running: int) -> None:
        """Asks the device to stop until the running request or the CANCEL is answered; gives up without a word."""
        cancel = self._frame("cancel")
        end = time.monotonic() + CANCEL_S
        with suppress(LinkError):
            while time.monotonic() < end:
                self._send(cancel)
                until = min(end, time.monotonic() + CANCEL_SILENCE_S)
                while answer := self._next_frame(until):
                    if answer.sequence in (running, cancel.sequence) and answer.code != MESSAGE["progress"]:
                        return

    # ---- connections that break off

    def _through_cuts(self, act: Callable[[], Any], mend: Callable[[LineCut], None]) -> Any:
        """What `act()` gives; when the line breaks off, `mend` and act again."""
        for cuts in count(1):
            try:
                return act()
            except LineCut as cut:
                self._require_mendable(cut, cuts)
                mend(cut)
        raise AssertionError("counting has no end")

    def _require_mendable(self, cut: LineCut, cuts: int) -> None:
        if self._reopen is None or cuts > MOST_CUTS:
            raise cut

    def _open_again(self, cut: LineCut) -> None:
        """Opens the connection again, under whatever name it comes back. Raises `cut` when it does not."""
        assert self._reopen
        end, is_told = time.monotonic() + self._patience, False
        while True:
            with suppress(OSError):
                self._stream.close()
            try:
                self._take(self._reopen())
                self.cuts += 1
                return
            except LinkError:
                if time.monotonic() >= end:
                    raise cut from None
                if not is_told:
                    self.on_wait(f"{cut}; waiting for it to come back, {self._patience:.0f} s at most")
                    is_told = True
                time.sleep(AGAIN_S)

    def _reconnect(self, cut: LineCut) -> None:
        """Opens the connection again and asks whether the device is as it was left."""
        session, end = random.randrange(1, 1 << 32), time.monotonic() + self._patience
        while True:
            self._open_again(cut)
            try:
                reply = self._greet(session, GREETING_S, GREETING_S)
                break
            except LineCut:
                if time.monotonic() >= end:
                    raise cut from None
        before, self._session = self._session, session
        if not before or reply.session_before != before:
            raise StartedAnew(
                f"{board_name(reply)} was reset, or used by somebody else, while the connection was broken",
                "see to its power supply, and that nobody else uses it",
            )

    # ---- bytes

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % 255 + 1
        return self._sequence

    def _frame(self, message: str, payload: bytes = b"") -> Frame:
        """A request, sealed where a session with a holder of the key runs."""
        frame = Frame(self._next_sequence(), MESSAGE[message], payload)
        if self._holder and self._holder.is_used_up:
            raise LineCut("all numbers of the session are used up", "run the same command again")
        return self._holder.seal(frame) if self._holder else frame

    def _answered(self, frame: Frame) -> Frame | None:
        """What a frame says; None where nothing of it is to be believed."""
        if frame.sequence == 0 and (holder := holder_told(frame.payload)) is not None:
            raise in_use(self._name, holder)
        if self._holder is None or frame == BAD_FRAME:
            return frame
        if self._holder.is_forgotten(frame):  # a reset, or somebody else who has the key
            raise LineCut(f"{self._name} has ended the session", "run the same command again")
        return self._holder.unseal(frame)

    def _send(self, frame: Frame) -> None:
        self.frames += 1
        try:
            self._stream.write(b"\0" + encode(frame))
        except OSError as error:
            if "timeout" in str(error).lower():
                raise LinkError(
                    f"{self._name} does not accept data (write timed out)", "reset the board and try again"
                ) from error
            raise self._cut(error) from error

    def _next_frame(self, until: float) -> Frame | None:
        """The next frame, a damaged one as BAD_FRAME; None when there is none at the time `until`."""
        while not self._frames:
            if time.monotonic() >= until:
                return None
            lines, self._rest = split(self._rest + self._read(until))
            for line in lines:
                frame = decode(line)
                if frame is None:
                    self._noise = (self._noise + line)[-NOISE_BYTES:]
                said = self._answered(frame) if frame else BAD_FRAME
                if said is not None:
                    self._frames.append(said)
        return self._frames.popleft()

    def _read(self, until: float) -> bytes:
        """What has arrived; waits up to READ_S for the first byte, not beyond `until`."""
        try:
            wait = min(READ_S, max(0.0, until - time.monotonic()))
            if self._stream.timeout != wait:
                self._stream.timeout = wait
            data = self._stream.read(max(1, self._stream.in_waiting))
            if data and self._is_socket:  # there, in_waiting only tells whether there is anything
                self._stream.timeout = 0
                data += self._stream.read(1 << 16)
        except OSError as error:
            raise self._cut(error) from error
        return data

    def _cut(self, error: OSError) -> LineCut:
        return LineCut(
            f"the connection to {self._name} broke off: {error}",
            "connect the device again; training goes on from its checkpoint",
        )
