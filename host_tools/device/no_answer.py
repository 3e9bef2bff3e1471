# SPDX-License-Identifier: MIT
"""Why a device that is there does not answer."""

from ttzo.device_runtime.contract import ProgressReply
from ttzo.exporter.plan.printable import printable
from ttzo.host_tools.device import flow_control, prompt
from ttzo.host_tools.device.ports import LinkError, Stream


def reason(
    stream: Stream, name: str, seconds: float, noise: bytes, damaged: bool, told: ProgressReply | None
) -> LinkError | None:
    """What stands in the way after so many seconds, by the bytes that came instead of frames, whether frames came
    damaged, and the progress that was told last; None where nothing came at all."""
    if not told and prompt.is_there(stream, noise):
        return prompt.told(name)
    if not told and flow_control.is_on(stream, damaged):
        return flow_control.told(name)
    if damaged:
        return LinkError(
            f"only damaged frames pass between here and {name}{_heard(noise)}",
            "look at the cable, and give both sides the same baud rate",
        )
    if told:
        worked = f"{name} has worked for {seconds:.0f} s without an end (at {told.done} of {told.total})"
        return LinkError(worked, "reset the device and run the same command again")
    return None


def _heard(noise: bytes) -> str:
    """What came instead of frames, where it is text."""
    text = noise.decode("ascii", errors="replace").strip()
    return f"; it says {printable(text[-60:])!r}" if text and text.isascii() and text.isprintable() else ""
