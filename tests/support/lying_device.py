# SPDX-License-Identifier: MIT
"""A real device with a liar on the line, who rewrites whole well-formed answers: every field of every answer wrong in each
way, answers too short, too long, absent, out of order and without an end.

    python tests/support/lying_device.py [--every N]        all lies (or each Nth), counted

A lie is told in mid-training, after the run has a good and a best checkpoint. It holds when the run ends with a sentence
that names the answer (of a lie in a field, the field), or in the bits of an honest run; when every checkpoint that is left
holds what the device held at that step; and when nothing waited longer than its bound. That bound is one of the host's own
clock, so that a busy machine changes nothing: a host under a lie makes no more requests than an honest run needs, grants none
of them more time, and gives each up when that time is over. So that this takes no minutes, all times that it grants are
divided by HURRY from the first lie on; until then it has its usual patience.
"""

import argparse
import collections
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bundles import STEPS, small_plan, wave_plan, write_bundle

from ttzo.device_runtime.contract import MESSAGE, RECORD, REPLY, DeviceError, Record, StateRecord, TtzoError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import link as link_module
from ttzo.host_tools.device import round_trips
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.frames import Frame, decode, encode
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import checkpoint, session
from ttzo.host_tools.training.checkpoint import Generation

HONEST_STEPS = 5
HURRY = 25
MOST_REQUESTS = 2  # times those of an honest run, which takes 1.35 times as many where no piece has over FIRST_BYTES
HANG_S = 300  # of a whole run: an honest one takes a second, the longest under a lie ten
NAMES = {code: name for name, code in MESSAGE.items()}
Answers = Callable[[Frame], list[bytes]]  # what goes to the host in the place of an answer


@dataclass(frozen=True)
class Lie:
    """`tell` replaces each answer to `message`; `field` is what is wrong in it, empty where it is the whole."""

    message: str
    field: str
    way: str
    tell: Answers

    def __str__(self) -> str:
        return f"{self.message}{'.' if self.field else ''}{self.field} {self.way}"


# ---- all lies --------------------------------------------------------------------------------------------------------

ENDS = {
    "u8": (0, 255),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "f32": (0.0, -1.0, 3e38, -3e38, float("nan"), float("inf"), float("-inf")),
}
FORMATS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "f32": "<f"}
BOARDS = (b"\x1b]0;owned\x07\x1b[31m", b"two\nlines,0,0.5", b"", b"\xff\xfe\x80")
TAILS = {"read": 4, "predict": 4}  # bytes of a number behind these answers' records


def fields(record: type[Record], prefix: str = "", at: int = 0) -> Iterator[tuple[str, str, int]]:
    """Name, type and place of each number in a record, those in records within it too."""
    for kind, name in record.FIELDS:
        base = kind.partition("[")[0]
        if base in RECORD:
            yield from fields(RECORD[base], f"{name}.", at)
            at += RECORD[base].SIZE
        elif "[" in kind:
            at += int(kind.partition("[")[2].rstrip("]"))
        else:
            yield prefix + name, base, at
            at += struct.calcsize(FORMATS[base])


def put(payload: bytes, at: int, content: bytes) -> bytes:
    return payload[:at] + content + payload[at + len(content) :]


def with_payload(change: Callable[[bytes], bytes]) -> Answers:
    return lambda frame: [encode(frame._replace(payload=change(frame.payload)))]


def of_fields(message: str) -> Iterator[Lie]:
    for name, kind, at in fields(REPLY[message]):
        for value in ENDS[kind]:
            content = struct.pack(FORMATS[kind], value)
            change = with_payload(lambda payload, at=at, content=content: put(payload, at, content))
            yield Lie(message, name, f"= {value}", change)
        if kind == "u32":
            change = with_payload(lambda payload, at=at: put(payload, at, _one_more(payload[at : at + 4])))
            yield Lie(message, name, "+ 1", change)


def _one_more(number: bytes) -> bytes:
    return ((int.from_bytes(number, "little") + 1) % 2**32).to_bytes(4, "little")


def of_tails(message: str) -> Iterator[Lie]:
    size = REPLY[message].SIZE
    for value in (0.0, float("nan"), float("inf"), 3e38):
        for what, count in (("every number", None), ("one number", 1)):
            change = with_payload(
                lambda payload, v=value, c=count: put(
                    payload, size, struct.pack("<f", v) * (c or (len(payload) - size) // 4)
                )
            )
            yield Lie(message, "", f"{what} = {value}", change)


def of_lengths(message: str) -> Iterator[Lie]:
    changes = {
        "empty": lambda payload: b"",
        "a byte short": lambda payload: payload[:-1],
        "four bytes short": lambda payload: payload[:-4],
        "a byte long": lambda payload: payload[:1020] + b"\0",
        "four bytes long": lambda payload: payload[:1020] + b"\1\2\3\4",
        "all ones": lambda payload: b"\xff" * len(payload),
        "all zeros": lambda payload: bytes(len(payload)),
    }
    for way, change in changes.items():
        if message in ("configure", "write", "commit", "set_state", "reset") and way in (
            "empty",
            "all ones",
            "all zeros",
        ):
            continue  # these answers are empty
        yield Lie(message, "", way, with_payload(change))


def of_order(message: str) -> Iterator[Lie]:
    def error(code: int, detail: int = 0, cut: int = 8) -> Answers:
        payload = struct.pack("<II", code, detail)[:cut]
        return lambda frame: [encode(Frame(frame.sequence, MESSAGE["error"], payload))]

    def progress(done: int, total: int, cut: int = 8) -> Answers:
        payload = struct.pack("<II", done, total)[:cut]
        return lambda frame: [encode(Frame(frame.sequence, MESSAGE["progress"], payload))]

    yield Lie(message, "", "absent", lambda frame: [])
    yield Lie(
        message, "", "of another request", lambda frame: [encode(frame._replace(sequence=frame.sequence % 255 + 1))]
    )
    yield Lie(message, "", "of another message", lambda frame: [encode(frame._replace(code=frame.code % 14 + 1))])
    yield Lie(message, "", "twice", lambda frame: 2 * [encode(frame)])
    yield Lie(message, "", "damaged", lambda frame: [encode(frame)[:-2] + b"\1\0"])
    yield Lie("error", "error", f"= 9999 for {message.upper()}", error(9999))
    yield Lie("error", "error", f"= 0 for {message.upper()}", error(0))
    yield Lie("error", "", f"of one byte for {message.upper()}", error(3, cut=1))
    yield Lie("error", "", f"= non_finite for {message.upper()}", error(DeviceError("non_finite").code, 2**32 - 1))
    yield Lie("progress", "done", f"of total 0 for {message.upper()}", progress(2**32 - 1, 0))
    yield Lie("progress", "", f"of no bytes for {message.upper()}", progress(0, 0, cut=0))
    yield Lie("progress", "", f"1/2 once for {message.upper()}", progress(1, 2))


class Endless(Lie):
    """A stream that never ends takes the place of all answers to `message`; `piece(k)` is its kth piece."""

    def __init__(self, message: str, way: str, piece: Callable[[Frame, int], bytes], pause: float = 0.001):
        super().__init__(message, "", way, lambda frame: [])
        object.__setattr__(self, "piece", piece)
        object.__setattr__(self, "pause", pause)


def without_an_end(message: str) -> Iterator[Lie]:
    def pair(frame: Frame, done: int, total: int) -> bytes:
        return encode(Frame(frame.sequence, MESSAGE["progress"], struct.pack("<II", done, total)))

    yield Endless(message, "bytes without a delimiter for ever", lambda frame, k: b"\x41" * 4096)
    yield Endless(message, "delimiters for ever", lambda frame, k: bytes(4096))
    yield Endless(message, "answers to others for ever", lambda f, k: encode(f._replace(sequence=f.sequence % 255 + 1)))
    yield Endless(message, "ten bytes a second", lambda frame, k: encode(frame)[k % 7 : k % 7 + 1], 0.1)
    yield Endless(message, "PROGRESS 1/2 for ever", lambda frame, k: pair(frame, 1, 2), 0.02)
    yield Endless(message, "PROGRESS that goes on for ever", lambda frame, k: pair(frame, k % 2**32, 2**32 - 1), 0.02)


def all_lies(plan: Plan) -> list[Lie]:
    """What can be told in training `plan` in the place of the truth."""
    told = ["status", "step", "read", "evaluate"] if plan.pde is None else ["solution_error"]
    lies = [lie for message in told for lie in of_fields(message)]
    lies += [lie for message in told if message in TAILS for lie in of_tails(message)]
    asked = [*told, "write", "commit"] if plan.pde is None else told
    for message in asked:
        lies += [*of_lengths(message), *of_order(message), *without_an_end(message)]
    if plan.pde is None:
        lies += [*of_fields("hello"), *of_lengths("hello"), *of_order("hello"), *without_an_end("hello")]
        at = next(at for name, _, at in fields(REPLY["hello"]) if name == "n_parameters") - 24
        lies += [
            Lie(
                "hello",
                "",
                f"of a board {name!r}",
                with_payload(lambda payload, n=name: put(payload, at, n.ljust(24, b"\0"))),
            )
            for name in BOARDS
        ]
    return lies


# ---- the liar on the line ---------------------------------------------------------------------------------------------


class Liar:
    """Carries bytes between one host, who finds it at `url`, and the device; from the step HONEST_STEPS on (a lie about
    HELLO: from the start) it tells `lie`."""

    def __init__(self, device: str, lie: Lie | None):
        self._device, self._lie = device, lie
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._steps, self._closed, self.told = 0, threading.Event(), 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            host, _ = self._listener.accept()
            name, port = self._device.removeprefix("socket://").split(":")
            with host, socket.create_connection((name, int(port))) as device:
                for side in (host, device):  # else TCP holds a second answer, and all after it, back for 40 ms
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._asked: Frame | None = None
                threading.Thread(target=self._carry_requests, args=(host, device), daemon=True).start()
                self._carry_answers(device, host)

    def _carry_requests(self, host: socket.socket, device: socket.socket) -> None:
        with suppress(OSError):
            while data := host.recv(1 << 16):
                device.sendall(data)
            device.shutdown(socket.SHUT_WR)

    def _carry_answers(self, device: socket.socket, host: socket.socket) -> None:
        rest = b""
        while data := device.recv(1 << 16):
            *lines, rest = (rest + data).split(b"\0")
            for line in filter(None, lines):
                frame = decode(line)
                if frame is None or not self._is_told_wrong(frame):
                    host.sendall(line + b"\0")
                else:
                    self._lie_about(frame, host)
                if frame and frame.code == MESSAGE["step"]:
                    self._steps += 1

    def _is_told_wrong(self, frame: Frame) -> bool:
        if self._lie is None:
            return False
        in_place_of = self._lie.message
        if in_place_of in ("error", "progress"):
            in_place_of = self._lie.way.rpartition(" for ")[2].lower()
        return NAMES.get(frame.code) == in_place_of and (self._steps >= HONEST_STEPS or in_place_of == "hello")

    def _lie_about(self, frame: Frame, host: socket.socket) -> None:
        """Tells the lie; it counts as told once it is on the line."""
        for answer in self._lie.tell(frame):
            host.sendall(answer)
        k = 0
        while isinstance(self._lie, Endless) and not self._closed.is_set():
            host.sendall(self._lie.piece(frame, k))
            self.told += k == 0
            time.sleep(self._lie.pause)
            k += 1
        self.told += k == 0


# ---- one lie in one run -----------------------------------------------------------------------------------------------


@dataclass
class Waits:
    """What a host has waited for: how many requests, and the most seconds that it granted one of them, of silence and in all.
    `longest`: the largest share of its time in all after which a request was still waited for, counted from the first lie."""

    count: int = 0
    silence: float = 0.0
    limit: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a run under a lie ended: `sentence` is empty when it ended well. `faults` are what did not hold."""

    lie: str
    told: int
    sentence: str
    seconds: float
    faults: tuple[str, ...]
    waits: Waits


class Remembering(Trainer):
    """A trainer that knows what it held at each step: after the step, and where a host that went back loaded a state."""

    def __init__(self, plan: Plan):
        self.held: dict[int, set[bytes]] = {}
        super().__init__(plan)
        self._remember()

    def _remember(self) -> None:
        held = self.theta.tobytes() + self.moments.tobytes() + self.state.pack()
        self.held.setdefault(self.state.step, set()).add(held)

    def step(self, region: int):
        result = super().step(region)
        self._remember()
        return result

    def set_state(self, state: StateRecord) -> None:
        super().set_state(state)
        self._remember()


class Overdue(AssertionError):
    """The host waits for an answer though its time is over."""


@contextmanager
def watched(liar: Liar) -> Iterator[Waits]:
    """Waits are counted, and hurried from the first lie on."""
    waits = Waits()

    class WatchedWait(round_trips.Wait):
        _hurried_at: float | None = None

        def __init__(self, what: str, timeout: float, limit: float, tell: Callable[[str], object]):
            self._usual = timeout
            waits.count += 1
            waits.silence, waits.limit = max(waits.silence, timeout), max(waits.limit, timeout, limit)
            super().__init__(what, timeout, limit, tell)

        def restart(self) -> None:
            self._timeout, self._hurried_at = self._usual, None
            super().restart()

        def goes_on(self) -> bool:
            now, granted = time.monotonic(), max(self._usual, self._limit) / HURRY
            if liar.told and self._hurried_at is None:
                self._hurried_at, self._timeout = now, self._usual / HURRY
                self._end = min(self._end, now + granted)
                self.begin_anew()
            goes_on = super().goes_on()  # looks at the clock later than the line above
            if goes_on and self._hurried_at is not None:
                waits.longest = max(waits.longest, (now - self._hurried_at) / granted)
                if waits.longest > 1:
                    raise Overdue
            return goes_on

    first_silence, least_bytes = round_trips.FIRST_SILENCE_S, round_trips.LEAST_BYTES
    link_module.Wait, round_trips.FIRST_SILENCE_S = WatchedWait, first_silence / HURRY
    # else late answers, so the machine's speed, decide in how many pieces a region is read
    round_trips.LEAST_BYTES = round_trips.FIRST_BYTES
    try:
        yield waits
    finally:
        link_module.Wait = round_trips.Wait
        round_trips.FIRST_SILENCE_S, round_trips.LEAST_BYTES = first_silence, least_bytes


@contextmanager
def no_hang() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Overdue

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def try_lie(lie: Lie, plan: Plan, folder: Path, honest: Waits | None = None) -> Outcome:
    """One run under the lie, in an empty folder. `honest`: the waits of an honest run."""
    bundle = write_bundle(folder / "bundle", plan)
    rows = data_set.load(bundle / "rows.npz" if plan.pde is None else None, plan)
    run, trainer, sentence, faults, began = folder / "run", Remembering(plan), "", [], time.monotonic()
    with serve(trainer, "numpy") as emulator:
        liar = Liar(emulator.url, lie)
        try:
            with watched(liar) as waits, no_hang(), open_device(liar.url, bundle) as device:
                session.train(device, rows, run, test_rows=20, checkpoint_steps=2)
        except TtzoError as error:
            sentence = str(error)
        except Overdue:
            faults.append("it was waited for longer than its time")
        finally:
            liar.close()
    seconds = time.monotonic() - began
    faults += [*waited_too_long(waits, honest), *_faults(lie, sentence, trainer, run)]
    return Outcome(str(lie), liar.told, sentence, seconds, tuple(faults), waits)


def waits_of_an_honest_run(plan: Plan) -> Waits:
    with tempfile.TemporaryDirectory() as folder:
        outcome = try_lie(Lie("nothing", "", "", lambda frame: []), plan, Path(folder))
    assert not (outcome.told or outcome.sentence or outcome.faults), outcome
    return outcome.waits


def waited_too_long(waits: Waits, honest: Waits | None) -> Iterator[str]:
    if honest is None:
        return
    if waits.count > MOST_REQUESTS * honest.count:
        yield f"{waits.count} requests, {honest.count} of an honest run"
    if waits.silence > honest.silence or waits.limit > honest.limit:
        yield f"an answer was granted {waits.silence:.1f} s of silence, {waits.limit:.1f} s in all"


def _faults(lie: Lie, sentence: str, trainer: Remembering, run: Path) -> Iterator[str]:
    plan = trainer.plan
    if any(not each.isprintable() for each in sentence):
        yield "its sentence holds a control character"
    named = lie.field.rpartition(".")[2] in sentence or "the host computes" in sentence
    if sentence and lie.field and "not believed" in sentence and not named:
        yield "its sentence does not name the field"
    if not sentence and len(trainer.held) != STEPS + 1:
        yield f"it ended well after {len(trainer.held) - 1} steps"
    for generation in Generation:
        path = run / generation.value
        if not path.exists():
            if "hello" not in str(lie).lower():
                yield f"{generation.value} is gone"
            continue
        found = checkpoint.load(path, plan)
        held = found.parameters.tobytes() + found.moments.tobytes() + found.state.pack()
        if held not in trainer.held.get(found.state.step, ()):
            yield f"{generation.value} holds what the device did not hold at step {found.state.step}"
    metrics = run / "metrics.csv"
    if metrics.exists() and any(not each.isprintable() for each in metrics.read_text().replace("\n", "")):
        yield "metrics.csv holds a control character"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="each Nth lie only")
    parser.add_argument("--only", default="", help="lies whose name holds this text")
    options = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    longest: tuple[float, str] = (0.0, "")
    most_requests = 0.0
    for plan in (small_plan(), wave_plan()):
        honest = waits_of_an_honest_run(plan)
        for lie in all_lies(plan)[:: options.every]:
            if options.only not in str(lie):
                continue
            with tempfile.TemporaryDirectory() as folder:
                outcome = try_lie(lie, plan, Path(folder), honest)
            counts["refused" if outcome.sentence else "harmless"] += 1
            counts["not told"] += not outcome.told
            longest = max(longest, (outcome.waits.longest, outcome.lie))
            most_requests = max(most_requests, outcome.waits.count / honest.count)
            if outcome.faults:
                counts["did not hold"] += 1
                print(f"{outcome.lie}: {'; '.join(outcome.faults)} [{outcome.sentence}]", flush=True)
            elif options.only:
                print(f"{outcome.lie}: {outcome.sentence or 'ended well'}", flush=True)
    print(
        f"{counts['refused'] + counts['harmless']} lies: {counts['refused']} refused with a sentence, {counts['harmless']}"
        f" harmless (the honest run's bits), {counts['did not hold']} did not hold, {counts['not told']} were never told;"
        f" {100 * longest[0]:.0f} % of its time at most was waited for an answer ({longest[1]}), {most_requests:.2f} times"
        " the requests of an honest run were made at most"
    )
    raise SystemExit(1 if counts["did not hold"] else 0)


if __name__ == "__main__":
    main()
