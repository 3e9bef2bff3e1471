# SPDX-License-Identifier: MIT
"""A MicroPython prompt where a device should be: it echoes what it is sent, and shows itself after Ctrl-C and Ctrl-B. To a
device these are a damaged frame."""

import time

from ttzo.host_tools.device.ports import LinkError, Stream

ANSWER_S = 0.5  # that a prompt has to show itself


def is_there(stream: Stream, heard: bytes) -> bool:
    """Whether a prompt is at the other end of a line that has said `heard`, which was no frame."""
    if not heard:
        return False
    try:
        stream.write(b"\x03\x02")
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            heard += stream.read(max(1, stream.in_waiting))
    except OSError:
        pass
    return b">>>" in heard or b"MicroPython" in heard


def told(name: str) -> LinkError:
    return LinkError(
        f"a MicroPython prompt answers at {name}",
        f"put the model there by `ttzo deploy`, then name the device mpy:{name}",
    )
