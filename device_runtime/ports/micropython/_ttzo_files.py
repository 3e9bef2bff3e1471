# SPDX-License-Identifier: MIT
# What ttzo.py seldom does: reading bundles and saved runs, an equation's error. It imports this where it is wanted, and
# lets it go.
import struct

import _ttzo
from micropython import const

from ttzo import _check, _refuse

_PARAMETERS = const(0)  # contract: enum.region.parameters
_MOMENTS = const(1)  # contract: enum.region.moments
_BATCH = const(2)  # contract: enum.region.batch
_COLLOCATION = const(4)  # contract: enum.region.collocation
_POINTS_AT_ONCE = const(64)

_BAD_BUNDLE = const(5)  # contract: error.bad_bundle
_STATUS_BYTES = const(168)  # contract: bytes.status_reply
# What follows the bundle in a saved file: TTZS, status, three checksums (the head); parameters, moments.
_HEAD_BYTES = const(_STATUS_BYTES + 16)


# ---- reading --------------------------------------------------------------------------------------------------------


def check_bundle(path, total):
    """ValueError when the bundle of `total` bytes at the start of the file has not its checksum."""
    with open(path, "rb") as file:
        piece, crc, left = memoryview(bytearray(64)), 0, total - 4
        while left:
            n = file.readinto(piece[: min(left, 64)])
            crc, left = _ttzo.crc32(piece[:n], crc), left - n
        if file.readinto(piece[:4]) != 4 or crc != struct.unpack_from("<I", piece, 0)[0]:
            _refuse(_BAD_BUNDLE, 4)


def restore(model, path, at):
    """Takes over what `save` wrote after the bundle, at byte `at`."""
    with open(path, "rb") as file:
        file.seek(at)
        _restore(model, file)


def _restore(model, file):
    memory = model._memory
    head = bytearray(_HEAD_BYTES)
    if file.readinto(head) != _HEAD_BYTES or head[:4] != b"TTZS":
        _refuse(_BAD_BUNDLE, 3)
    parameters_crc, moments_crc, crc = struct.unpack_from("<III", head, 4 + _STATUS_BYTES)
    if _ttzo.crc32(memoryview(head)[: len(head) - 4], 0) != crc:
        _refuse(_BAD_BUNDLE, 4)
    _check(memory, _ttzo.restore(memory, memoryview(head)[4 : 4 + _STATUS_BYTES]))
    piece = bytearray(64)
    for region, n, crc in (
        (_PARAMETERS, model.n_parameters, parameters_crc),
        (_MOMENTS, model._n_moments, moments_crc),
    ):
        for at in range(0, 4 * n, len(piece)):
            part = memoryview(piece)[: min(len(piece), 4 * n - at)]
            if file.readinto(part) != len(part):
                _refuse(_BAD_BUNDLE, 3)
            _check(memory, _ttzo.write(memory, region, at, part))
        _check(memory, _ttzo.commit(memory, region, 4 * n, crc))
    if file.read(1):
        _refuse(_BAD_BUNDLE, 3)


# ---- an equation's error --------------------------------------------------------------------------------------------


def solution_error(model, x, y, n):
    """See Model.solution_error."""
    memory, error, exact = model._memory, 0.0, 0.0
    region, most = _COLLOCATION, _POINTS_AT_ONCE
    if not model._has_equation:
        raise ValueError("the model has no equation: m.evaluate(x, y)")
    if x is not None:
        fill, n = model._source(x, y)
        region, most = _BATCH, model._capacity
    for at in range(0, n, most):
        count, first = min(most, n - at), at
        if x is not None:
            fill(at, count)
            first = 0
        _check(memory, _ttzo.solution_error(memory, region, first, count))
        error += struct.unpack_from("<f", memory, 12)[0]
        exact += struct.unpack_from("<f", memory, 28)[0]
    return (error / exact) ** 0.5 if exact else None
