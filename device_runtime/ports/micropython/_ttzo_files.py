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

_BAD_BUNDLE = const(5)  # contract: error.bad_bundle
_STATUS_BYTES = const(168)  # contract: bytes.status_reply
# What follows the bundle in a saved file: TTZS, status, three checksums (the head); parameters, moments.
_HEAD_BYTES = const(_STATUS_BYTES + 16)


def refuse_bundle(detail):
    _check(struct.pack("<I", detail), _BAD_BUNDLE)


def check_bundle(path):
    """ValueError when the bundle at the start of the file has not its checksum. A buffer is left to the runtime."""
    if not isinstance(path, str):
        return
    with open(path, "rb") as file:
        piece, crc = memoryview(bytearray(64)), 0
        file.seek(8)
        file.readinto(piece[:4])
        left = struct.unpack_from("<I", piece, 0)[0] - 4
        file.seek(0)
        while left:
            n = file.readinto(piece[: min(left, 64)])
            crc, left = _ttzo.crc32(piece[:n], crc), left - n
        if file.readinto(piece[:4]) != 4 or crc != struct.unpack_from("<I", piece, 0)[0]:
            refuse_bundle(4)


def restore(model, path, at):
    """Takes over what `save` wrote after the bundle, at byte `at`."""
    with open(path, "rb") as file:
        file.seek(at)
        _restore(model, file)


def _restore(model, file):
    memory = model._memory
    head = bytearray(_HEAD_BYTES)
    if file.readinto(head) != _HEAD_BYTES or head[:4] != b"TTZS":
        refuse_bundle(3)
    parameters_crc, moments_crc, crc = struct.unpack_from("<III", head, 4 + _STATUS_BYTES)
    if _ttzo.crc32(memoryview(head)[: len(head) - 4], 0) != crc:
        refuse_bundle(4)
    _check(memory, _ttzo.restore(memory, memoryview(head)[4 : 4 + _STATUS_BYTES]))
    piece = bytearray(64)
    for region, n, crc in (
        (_PARAMETERS, model.n_parameters, parameters_crc),
        (_MOMENTS, model._facts[_N_MOMENTS], moments_crc),
    ):
        for at in range(0, 4 * n, len(piece)):
            part = memoryview(piece)[: min(len(piece), 4 * n - at)]
            if file.readinto(part) != len(part):
                refuse_bundle(3)
            _check(memory, _ttzo.write(memory, region, at, part))
        _check(memory, _ttzo.commit(memory, region, 4 * n, crc))
    if file.read(1):
        refuse_bundle(3)
