# SPDX-License-Identifier: MIT
"""Sessions with holders of a key, both sides: the host's `Holder`, and `Gate`, the twin of device_runtime/key/session.c.

A session begins when AUTHENTICATE proves that the host has the key, and ends when another one begins. Each request carries
a number, larger than all before in its session, and a tag over the frame; so does each answer.
"""

import hmac
import secrets
from dataclasses import dataclass

from ttzo.device_runtime.contract import (
    HASH,
    LIMIT,
    MESSAGE,
    Access,
    AuthenticateReply,
    AuthenticateRequest,
    DeviceError,
    ExitCode,
    FrameSealRecord,
    HelloReply,
    TtzoError,
)
from ttzo.host_tools.device.frames import Frame
from ttzo.host_tools.device.replies import board_name, refusal_told
from ttzo.host_tools.firmware.key_file import Lock

SEALED = LIMIT["sealed"]
LAST_NUMBER = 2**32 - 1
GREETINGS = (MESSAGE["hello"], MESSAGE["authenticate"])
READINGS = (MESSAGE["status"], MESSAGE["read"])


def _mac(key: bytes, letter: bytes, content: bytes) -> bytes:
    return hmac.digest(key, letter + content, "sha256")


@dataclass(frozen=True)
class SessionKey:
    """The key of one session."""

    key: bytes

    @classmethod
    def derive(cls, secret: bytes, device: bytes, host: bytes, session: int) -> "SessionKey":
        """From the pre-shared key, both challenges and HELLO's session."""
        numbers = session.to_bytes(4, "little") + HASH.to_bytes(4, "little")
        return cls(_mac(secret, b"S", device + host + numbers))

    def proof(self, letter: bytes) -> bytes:
        return _mac(self.key, letter, b"")[: LIMIT["challenge_bytes"]]

    def seal(self, letter: bytes, frame: Frame, number: int) -> Frame:
        """The frame with its seal."""
        code, content = frame.code | SEALED, frame.payload + number.to_bytes(4, "little")
        tag = _mac(self.key, letter, bytes([frame.sequence, code]) + content)[: LIMIT["tag_bytes"]]
        return Frame(frame.sequence, code, content + tag)

    def unseal(self, letter: bytes, frame: Frame) -> tuple[Frame, int] | None:
        """The frame without its seal, and its number; None when the seal is not right."""
        if not frame.code & SEALED or len(frame.payload) < FrameSealRecord.SIZE:
            return None
        seal = FrameSealRecord.unpack(frame.payload[-FrameSealRecord.SIZE :])
        bare = Frame(frame.sequence, frame.code & ~SEALED, frame.payload[: -FrameSealRecord.SIZE])
        right = hmac.compare_digest(self.seal(letter, bare, seal.number).payload, frame.payload)
        return (bare, seal.number) if right else None


class Holder:
    """The host's side of a session."""

    def __init__(self, secret: bytes, device_challenge: bytes, session: int):
        self._challenge = secrets.token_bytes(LIMIT["challenge_bytes"])
        self._key = SessionKey.derive(secret, device_challenge, self._challenge, session)
        self._number = 0
        self._numbers: dict[int, int] = {}  # of requests, by sequence

    @property
    def request(self) -> bytes:
        """The payload of AUTHENTICATE."""
        return AuthenticateRequest(challenge=self._challenge, proof=self._key.proof(b"H")).pack()

    def proves(self, reply: bytes) -> bool:
        """Whether the payload of the answer shows that the device has the key too."""
        wanted = AuthenticateReply(proof=self._key.proof(b"D")).pack()
        return hmac.compare_digest(wanted, reply)

    @property
    def is_used_up(self) -> bool:
        return self._number == LAST_NUMBER

    def seal(self, request: Frame) -> Frame:
        self._number += 1
        self._numbers[request.sequence] = self._number
        return self._key.seal(b"Q", request, self._number)

    def is_forgotten(self, answer: Frame) -> bool:
        """Whether a device answers that it takes no frames of this session."""
        return answer.code == MESSAGE["error"] and refusal_told("hello", answer.payload).exit_code == ExitCode.key

    def unseal(self, answer: Frame) -> Frame | None:
        """An answer without its seal; None for what is no answer to a request of this session. Signs of life have none."""
        if answer.code == MESSAGE["progress"]:
            return answer
        opened = self._key.unseal(b"R", answer)
        return opened[0] if opened and opened[1] == self._numbers.get(answer.sequence) else None


def answer_challenge(secret: bytes | None, hello: HelloReply, session: int) -> Holder | None:
    """What proves to the device of that HELLO that this host has the key `secret`; None where nothing is to be proved. Raises
    `DeviceError` locked, and `TtzoError` for a key that nobody asks for: somebody else may have answered."""
    if secret is not None and hello.access == Access.open:
        raise TtzoError(
            f"{board_name(hello)} asks for no key: whoever reaches it may use it",
            "build and flash it with the key (`ttzo build DIR --board B --key FILE`), or leave the key out",
            ExitCode.key,
        )
    if secret is None and hello.access == Access.keyed:
        raise DeviceError("locked")
    return None if secret is None else Holder(secret, hello.challenge, session)


class Gate:
    """The device's side: who may ask for what."""

    def __init__(self, lock: Lock):
        self._lock = lock
        self.access = Access.reading if lock.reading_open else Access.keyed
        self._challenge = b""
        self._key: SessionKey | None = None
        self._number, self._last = 0, b""

    def challenge(self, same: bool) -> bytes:
        """For a HELLO; a new one unless `same` and the last one is not answered yet."""
        if not (same and self._challenge):
            self._challenge = secrets.token_bytes(LIMIT["challenge_bytes"])
        return self._challenge

    def begin(self, request: AuthenticateRequest, session: int) -> bytes:
        """Begins a session; the device's proof. Raises `DeviceError` wrong_key."""
        device, self._challenge = self._challenge, b""
        key = SessionKey.derive(self._lock.secret, device, request.challenge, session)
        if not device or not hmac.compare_digest(key.proof(b"H"), request.proof):
            raise DeviceError("wrong_key")
        self._key, self._number, self._last = key, 0, b""
        return key.proof(b"D")

    def admit(self, frame: Frame, is_stored: bool) -> Frame:
        """The request without its seal. `is_stored`: its answer is in store, so that it may come again. Raises `DeviceError`
        locked or bad_seal."""
        if not frame.code & SEALED:
            if frame.code in GREETINGS or (frame.code in READINGS and self.access == Access.reading):
                return frame
            raise DeviceError("locked")
        opened = self._key.unseal(b"Q", frame) if self._key else None
        if opened is None:
            raise DeviceError("bad_seal")
        request, number = opened
        if number > self._number:
            self._number, self._last = number, frame.payload
        elif not (is_stored and frame.payload == self._last):
            raise DeviceError("bad_seal")
        return request

    def cancels(self, frame: Frame) -> bool:
        """Whether a frame that arrives during long work ends it."""
        opened = self._key.unseal(b"Q", frame) if self._key else None
        return opened is not None and opened[1] > self._number and opened[0][1:] == (MESSAGE["cancel"], b"")

    def seal(self, answer: Frame) -> Frame:
        """An answer to the last request that was admitted."""
        assert self._key
        return self._key.seal(b"R", answer, self._number)
