# SPDX-License-Identifier: MIT
# Checks a bundle in a file, and reads what `save` wrote after it. Imported where it is wanted, then let go.
import struct

import _ttzo
from _ttzo_model import _check
from micropython import const

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_N_MOMENTS = const(1)

_PARAMETERS = const(0)  # contract: enum.region.parameters
_MOMENTS = const(1)  # contract: enum.region.moments

_WHOLE = const(0x2144DF1C)  # CRC-32 of any bytes that end in their own CRC-32
_BAD_BUNDLE = const(5)  # contract: error.bad_bundle
_STATUS_BYTES = const(168)  # contract: bytes.status_reply
# What follows the bundle in a saved file: TTZS, status, three checksums (the head); parameters, moments.
_HEAD_BYTES = const(_STATUS_BYTES + 16)


def refuse(detail):
    _check(struct.pack("<I", detail), _BAD_BUNDLE)


def check(path):
    """ValueError when the bundle at the start of the file has not its checksum. A buffer is left to the runtime."""
    if not isinstance(path, str):
        return
    with open(path, "rb") as file:
        piece, crc = memoryview(bytearray(64)), 0
        file.seek(8)
        file.readinto(piece[:4])
        left = struct.unpack_from("<I", piece, 0)[0]
        file.seek(0)
        while left:
            n = file.readinto(piece[: min(left, 64)])
            crc, left = _ttzo.crc32(piece[:n], crc), left - n
            if not n:
                break
        if crc != _WHOLE:
            refuse(4)


def restore(model, path, at):
    """Takes over what `save` wrote after the bundle, at byte `at`."""
    memory, piece = model._memory, memoryview(bytearray(_HEAD_BYTES))
    with open(path, "rb") as file:
        file.seek(at)
        if file.readinto(piece) != _HEAD_BYTES or piece[:4] != b"TTZS":
            refuse(3)
        if _ttzo.crc32(piece, 0) != _WHOLE:
            refuse(4)
        _check(memory, _ttzo.restore(memory, piece[4 : 4 + _STATUS_BYTES]))
        crcs = struct.unpack_from("<II", piece, 4 + _STATUS_BYTES)
        for region, n in ((_PARAMETERS, model.n_parameters), (_MOMENTS, model._facts[_N_MOMENTS])):
            for at in range(0, 4 * n, 64):
                part = piece[: min(64, 4 * n - at)]
                if file.readinto(part) != len(part):
                    refuse(3)
                _check(memory, _ttzo.write(memory, region, at, part))
            _check(memory, _ttzo.commit(memory, region, 4 * n, crcs[region]))
        if file.read(1):
            refuse(3)
