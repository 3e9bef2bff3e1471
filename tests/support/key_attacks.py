# SPDX-License-Identifier: MIT
"""Attacks on a device that asks for a key, counted: requests without a seal, forged, damaged, cut, repeated and reordered ones,
and whole sessions that were recorded.

    python tests/support/key_attacks.py [--rounds 100] [--device native|numpy|qemu|mpy-ffi|mpy-native]

An attacker reads and writes the same line as a host that has the key. Each attack has to be refused by `locked`, `wrong_key`
or `bad_seal`, and after each round the host finds steps and parameters as it left them. A MicroPython board is a real interpreter that serves on
a socket, with either form of the module (support/interpreters.py says which it takes).
"""

import argparse
import collections
import random
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import devices
from devices import SMALL, Line, rows
from interpreters import served, with_key_part

from ttzo.device_runtime.contract import MESSAGE, REPLY, REQUEST, Arithmetic, DeviceError, Region
from ttzo.exporter.writers import to_bundle, to_c
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.frames import Frame, hello
from ttzo.host_tools.device.key_session import SEALED, Holder
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.firmware import boards, build, key_file
from ttzo.host_tools.firmware.key_file import Lock
from ttzo.host_tools.reference.train.trainer import Trainer

REFUSED = {DeviceError(name).code: name for name in ("locked", "wrong_key", "bad_seal")}
ASKED = sorted(set(REQUEST) - {"hello", "authenticate", "progress", "error"})


class Host:
    """Somebody who has the key. All that goes over the line is kept in `heard`."""

    def __init__(self, line: Line, secret: bytes, seed: int = 0):
        self.line, self._secret, self._rng = line, secret, random.Random(seed)
        self.heard: list[Frame] = []
        self._sequence = 0
        self.step = 0

    def greet(self) -> None:
        session = self._rng.randrange(1, 1 << 32)
        told = REPLY["hello"].unpack(self._say(Frame(self._next(), MESSAGE["hello"], hello(session))).payload)
        self.holder = Holder(self._secret, told.challenge, session)
        answer = self._say(Frame(self._next(), MESSAGE["authenticate"], self.holder.request))
        assert self.holder.proves(answer.payload)

    def sealed(self, message: str, tail: bytes = b"", **fields) -> Frame:
        return self.holder.seal(Frame(self._next(), MESSAGE[message], REQUEST[message](**fields).pack() + tail))

    def ask(self, message: str, tail: bytes = b"", **fields) -> bytes:
        answer = self.holder.unseal(self._say(self.sealed(message, tail, **fields)))
        assert answer and answer.code == MESSAGE[message], answer
        return answer.payload

    def train(self) -> None:
        """A batch, a step, and a look at what came of it."""
        batch = rows(SMALL, SMALL.batch)
        self.ask("write", batch, region=Region.batch, offset=0)
        self.ask("commit", region=Region.batch, count=len(batch), crc=devices.zlib.crc32(batch))
        self.ask("step", step=self.step, region=Region.batch)
        self.step += 1

    def state(self) -> tuple[bytes, bytes]:
        """Training state and parameters."""
        return self.ask("status"), self.ask("read", region=Region.parameters, offset=0, count=4 * SMALL.n_parameters)

    def _next(self) -> int:
        self._sequence = self._sequence % 255 + 1
        return self._sequence

    def _say(self, frame: Frame) -> Frame:
        self.heard.append(frame)
        return self.line.ask(frame)


class Attacks:
    """Every method is a kind of attack: frames, each of which must be refused. `host` has just trained."""

    def __init__(self, host: Host, earlier: list[Frame], seed: int):
        self.host, self.earlier, self.rng = host, earlier, random.Random(seed)

    def without_a_seal(self) -> Iterator[Frame]:
        for name in ASKED:
            yield Frame(self.rng.randrange(1, 256), MESSAGE[name], bytes(REQUEST[name].SIZE))

    def forged(self) -> Iterator[Frame]:
        for name in ASKED:
            content = bytes(REQUEST[name].SIZE) + self.rng.randrange(1 << 32).to_bytes(4, "little")
            yield Frame(self.rng.randrange(1, 256), MESSAGE[name] | SEALED, content + self.rng.randbytes(8))

    def damaged(self) -> Iterator[Frame]:
        """A bit of a good frame is changed, and its CRC-32 put right."""
        frame = self.host.sealed("reset")
        yield from (_with_bit(frame, bit) for bit in range(8 * (2 + len(frame.payload))))

    def cut(self) -> Iterator[Frame]:
        frame = self.host.sealed("write", bytes(8), region=Region.parameters, offset=0)
        yield from (frame._replace(payload=frame.payload[:count]) for count in range(len(frame.payload)))

    def of_an_earlier_session(self) -> Iterator[Frame]:
        yield from (frame for frame in self.earlier if frame.code & SEALED)

    def a_whole_earlier_session(self) -> Iterator[Frame]:
        """Its HELLO is answered, by another challenge."""
        for frame in self.earlier:
            if frame.code == MESSAGE["hello"]:
                assert self.host.line.ask(frame).code == MESSAGE["hello"]
            else:
                yield frame

    def older(self) -> Iterator[Frame]:
        yield from [frame for frame in self.host.heard if frame.code & SEALED][:-1]

    def reordered(self) -> Iterator[Frame]:
        """Of frames that were held back, those that come after a newer one. The newest is no harm: a STATUS."""
        frames = [self.host.sealed("reset") for _ in range(5)]
        assert self.host.line.ask(self.host.sealed("status")).code == MESSAGE["status"] | SEALED
        self.rng.shuffle(frames)
        yield from frames

    def guessed_proofs(self) -> Iterator[Frame]:
        for _ in range(8):
            session = self.rng.randrange(1, 1 << 32)
            self.host.line.ask(Frame(1, MESSAGE["hello"], hello(session)))
            yield Frame(2, MESSAGE["authenticate"], self.rng.randbytes(32))
        yield Frame(3, MESSAGE["authenticate"], self.rng.randbytes(32))  # without a challenge


KINDS: dict[str, Callable[[Attacks], Iterator[Frame]]] = {
    name: made for name, made in vars(Attacks).items() if not name.startswith("_")
}


def _with_bit(frame: Frame, bit: int) -> Frame:
    content = bytearray([frame.sequence, frame.code]) + frame.payload
    content[bit // 8] ^= 1 << bit % 8
    return Frame(content[0], content[1], bytes(content[2:]))


def attack(url: str, secret: bytes, rounds: int, seed: int = 0) -> dict[str, int]:
    """Attacks by kind, each refused. Raises AssertionError at the first that is not."""
    counts: dict[str, int] = collections.Counter()
    with Line(url) as line:
        host, earlier = Host(line, secret, seed), list[Frame]()
        for number in range(rounds):
            host.greet()
            host.train()
            for kind, frames in KINDS.items():
                before = host.state()
                for frame in frames(Attacks(host, earlier, seed + number)):
                    answer = line.ask(frame)
                    assert answer.code == MESSAGE["error"], f"{kind}: {frame} is answered by {answer}"
                    assert devices.error(answer)[0] in REFUSED, f"{kind}: {frame} is refused by {answer}"
                    counts[kind] += 1
                assert host.state() == before, f"{kind} changed what the device holds"
            counts["the last frame again"] += _repeat_the_last(host)
            earlier, host.heard = host.heard, []
    return counts


def _repeat_the_last(host: Host) -> int:
    """The byte-identical repeat gets the stored answer and does nothing."""
    host.train()
    step, first = host.step, host.sealed("reset")
    answer = host.line.ask(first)
    assert answer.code == MESSAGE["reset"] | SEALED and step
    assert all(host.line.ask(first) == answer for _ in range(3))
    host.step = 0
    host.train()  # after which that RESET is an older frame
    assert devices.error(host.line.ask(first))[0] == DeviceError("bad_seal").code
    return 3


@contextmanager
def keyed(kind: str, secret: bytes, folder: Path, reading_open: bool = False) -> Iterator[str]:
    """A device of that kind that asks for the key."""
    if kind == "native":
        key_file.write(folder / "key", secret)
        options = ["--key", str(folder / "key"), *(["--reading", "open"] if reading_open else [])]
        with devices.native(build.build_native(Arithmetic.separate), SMALL, folder, *options) as url:
            yield url
    elif kind == "numpy":
        with serve(Trainer(SMALL), "numpy", lock=Lock(secret, reading_open)) as emulator:
            yield emulator.url
    elif kind.startswith("mpy-"):
        board = with_key_part(folder, kind.removeprefix("mpy-"))
        (folder / "model.ttzo").write_bytes(to_bundle.write(SMALL))
        with served(board, f"key={secret!r}") as url:
            yield url
    else:
        board = boards.load("netduinoplus2")
        (folder / "model.ttzo").write_bytes(to_bundle.write(SMALL))
        for name, text in to_c.c_files(SMALL).items():
            (folder / name).write_text(text)
        with qemu.emulated(board, build.build(folder, board, lock=Lock(secret, reading_open)).elf) as emulation:
            yield emulation.url


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=100)
    options.add_argument("--device", choices=["native", "numpy", "qemu", "mpy-ffi", "mpy-native"], default="native")
    given = options.parse_args()
    secret = secrets.token_bytes(key_file.BYTES)
    with tempfile.TemporaryDirectory() as folder, keyed(given.device, secret, Path(folder)) as url:
        counts = attack(url, secret, given.rounds)
    for kind, count in counts.items():
        print(f"{count:8,}  {kind.replace('_', ' ')}")
    print(f"{sum(counts.values()):8,}  attacks on {given.device}: all refused, nothing changed")


if __name__ == "__main__":
    main()
