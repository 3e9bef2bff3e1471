# SPDX-License-Identifier: MIT
"""Frames on the line: `COBS(u8 sequence, u8 code, payload, u32 CRC-32 of all before)` and the delimiter 0x00."""

import zlib
from typing import NamedTuple

from cobs import cobs

from ttzo.device_runtime.contract import HASH, LIMIT, MESSAGE, MESSAGE_HASH, REPLY, DeviceError, HelloRequest

FRAME_BYTES = 2 + LIMIT["max_payload"] + 4
LINE_BYTES = FRAME_BYTES + FRAME_BYTES // 254 + 1


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


def hello(session: int) -> bytes:
    """How a host begins. The device answers it whatever its contract, and LEAVE too if it has the same two messages."""
    return HelloRequest(HASH, MESSAGE_HASH["hello"], MESSAGE_HASH["leave"], session).pack()


BAD_FRAME = Frame(0, MESSAGE["error"], REPLY["error"](DeviceError("bad_frame").code, 0).pack())
