# SPDX-License-Identifier: MIT
# Model.save of _ttzo_model.py. Imported where a model is saved, then let go.
import os
import struct

import _ttzo
from _ttzo_model import _check
from micropython import const

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_N_MOMENTS = const(1)
_PARAMETERS_AT = const(9)
_MOMENTS_AT = const(10)

_WHOLE = const(0x2144DF1C)  # CRC-32 of any bytes that end in their own CRC-32
_BAD_BUNDLE = const(5)  # contract: error.bad_bundle
_HASH_AT = const(16)  # contract: offset.bundle_header.hash
_HASH_BYTES = const(16)  # contract: limit.hash_bytes
_STATUS_BYTES = const(168)  # contract: bytes.status_reply
_HEAD_BYTES = const(_STATUS_BYTES + 16)  # see _ttzo_files


def save(model, path):
    """The bundle, and after it the run's state; the file at `path` is replaced only when the new one is whole."""
    memory = model._memory
    regions = (
        model._view(model._facts[_PARAMETERS_AT], 4 * model.n_parameters),
        model._view(model._facts[_MOMENTS_AT], 4 * model._facts[_N_MOMENTS]),
    )
    head = bytearray(_HEAD_BYTES)
    head[:4] = b"TTZS"
    _check(memory, _ttzo.status(memory, memoryview(head)[4 : 4 + _STATUS_BYTES]))
    struct.pack_into("<II", head, 4 + _STATUS_BYTES, *(_ttzo.crc32(region, 0) for region in regions))
    struct.pack_into("<I", head, len(head) - 4, _ttzo.crc32(memoryview(head)[: len(head) - 4], 0))
    fresh = path + ".new"
    try:
        with open(fresh, "wb") as file:
            if model._bundle is None:
                copy(model, file)
            else:
                write(file, model._bundle)
            for part in (head,) + regions:
                write(file, part)
    except BaseException:
        remove(fresh)
        raise
    replace(fresh, path)


def copy(model, to):
    """From the model's file, which must hold the bundle still."""
    piece, crc, left = memoryview(bytearray(64)), 0, model._total
    with open(model._path, "rb") as file:
        while left:
            n = file.readinto(piece[: min(left, 64)])
            is_another = left == model._total and bytes(piece[_HASH_AT : _HASH_AT + _HASH_BYTES]) != model.hash
            if is_another or not n:
                break
            crc, left = _ttzo.crc32(piece[:n], crc), left - n
            write(to, piece[:n])
    if left or crc != _WHOLE:
        _check(struct.pack("<I", 4), _BAD_BUNDLE)


def write(file, data):
    if file.write(data) != len(data):
        raise OSError(28)  # ENOSPC


def remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def replace(fresh, path):
    """Renames; where the file system (FAT) does not replace, the old file goes first."""
    try:
        os.rename(fresh, path)
    except OSError:
        remove(path)
        os.rename(fresh, path)
