# SPDX-License-Identifier: MIT
"""What a device is called where a person reads it."""


def place(board: str, url: str) -> str:
    """Its URL, after the board's name where the URL does not say it: `qemu:microbit`, `microbit at /dev/ttyACM0`."""
    return url if board in url else f"{board} at {url}"
