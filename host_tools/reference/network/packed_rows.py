# SPDX-License-Identifier: MIT
"""Takes packed rows apart: twin of packed_rows.c. What packs them is exporter/plan/packing.py."""

from collections.abc import Iterator

from ttzo.device_runtime.contract import DeviceError
from ttzo.exporter.plan.packing import BYTES, LONGEST, Packing


def unpack(packing: Packing, packed: bytes, count: int) -> bytes:
    """The `count` bytes. Raises `DeviceError` `bad_packed_rows` where `packed` holds more or fewer."""
    table, bits, made = packing.table().tolist(), iter(_bits(packed)), bytearray()
    left = 8 * len(packed)

    def take() -> int:
        nonlocal left
        left -= 1
        return next(bits, 0)

    while len(made) < count:
        place, first = 0, LONGEST
        for n in table[:LONGEST]:
            place = 2 * place + take()
            if place < n:
                break
            place, first = place - n, first + n
        symbol = table[first + place]
        run = 1
        for _ in range(symbol - BYTES + 1):
            run = 2 * run + take()
        if len(made) + run > count or left < 0:
            raise DeviceError("bad_packed_rows", count)
        made += bytes([symbol if symbol < BYTES else 0]) * run
    if left >= 8:
        raise DeviceError("bad_packed_rows", count)
    return bytes(made)


def _bits(packed: bytes) -> Iterator[int]:
    """The highest bit of a byte first."""
    for byte in packed:
        yield from (byte >> k & 1 for k in range(7, -1, -1))
