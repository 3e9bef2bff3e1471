# SPDX-License-Identifier: MIT
"""Lines with software flow control (XON/XOFF) take two bytes out of the frames, 0x11 and 0x13, and stop at the second.

They are known by what a device hears: of frames without these bytes every one, of frames with 0x11 none.
"""

import random
import time

from ttzo.host_tools.device.frames import BAD_FRAME, Frame, decode, encode, split
from ttzo.host_tools.device.ports import LinkError, Stream

XON, XOFF = b"\x11", b"\x13"
TRIES = 4  # of each kind
ANSWER_S = 0.5  # that a device has for one of them
PAUSE_S = 0.1  # of silence that ends an answer


def told(name: str) -> LinkError:
    return LinkError(
        f"the line to {name} takes bytes 0x11 and 0x13 out of the frames: software flow control (XON/XOFF)",
        "switch it off in the adapter, the terminal server or whatever lies between (`stty -F PORT -ixon -ixoff`)",
    )


def is_on(stream: Stream, damaged: bool) -> bool:
    """Whether a line that carries nothing goes on once it gets XON; of one with `damaged` frames, whether those are damaged
    that hold XON, and no others."""
    try:
        silent = not _arrived(stream)
        stream.write(XON)
        goes_on = bool(_arrived(stream))
        if not damaged:
            return silent and goes_on and all(_is_held(stream) for _ in range(TRIES))
        return all(_is_heard(stream, False) and not _is_heard(stream, True) for _ in range(TRIES))
    except OSError:
        return False


def _is_held(stream: Stream) -> bool:
    """Whether XOFF holds an answer back and XON lets it go. A device that is only slow answers in between."""
    stream.write(b"\0" + XOFF + _nonsense(False))
    held = not _arrived(stream) and not _arrived(stream)
    stream.write(XON)
    return bool(_arrived(stream)) and held


def _is_heard(stream: Stream, with_xon: bool) -> bool:
    """Whether the device understands a frame of that kind; what it answers may be damaged on its way."""
    stream.write(b"\0" + _nonsense(with_xon))
    arrived = _arrived(stream)
    return bool(arrived) and BAD_FRAME not in map(decode, split(arrived)[0])


def _nonsense(with_xon: bool) -> bytes:
    """A frame that no device carries out, with XON in it or not, and without XOFF."""
    while True:
        line = encode(Frame(random.randrange(1, 256), 0, random.randbytes(8)))
        if XOFF not in line and (XON in line) == with_xon:
            return line


def _arrived(stream: Stream) -> bytes:
    """All that comes, until nothing comes any more."""
    stream.timeout = PAUSE_S
    data, end = b"", time.monotonic() + ANSWER_S
    while time.monotonic() < end:
        part = stream.read(max(1, stream.in_waiting))
        data += part
        if data and not part:
            break
    return data
