# SPDX-License-Identifier: MIT
# Model.save of _ttzo_model.py. Imported where a model is saved, then let go.
import os
import struct

import _ttzo
from _ttzo_model import _check, _once
from micropython import const

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_N_MOMENTS = const(1)
_PARAMETERS_AT = const(9)
_MOMENTS_AT = const(10)

_STATUS_BYTES = const(168)  # contract: bytes.status_reply
_HEAD_BYTES = const(_STATUS_BYTES + 16)  # see _ttzo_files


def save(model, path):
    """The bundle, and after it the run's state; the file at `path` is replaced only when the new one is whole."""
    memory, bundle = model._memory, model._bundle
    if bundle is None:  # then it is read where only a step writes
        files = _once("_ttzo_load")
        bundle = files.lend(model, files.end(model))
        files.keep(model)
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
            for part in (bundle, head) + regions:
                _write_all(file, part)
    except BaseException:
        _remove(fresh)
        raise
    _replace(fresh, path)


def _write_all(file, data):
    if file.write(data) != len(data):
        raise OSError(28)  # ENOSPC


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _replace(fresh, path):
    """Renames; where the file system (FAT) does not replace, the old file goes first."""
    try:
        os.rename(fresh, path)
    except OSError:
        _remove(path)
        os.rename(fresh, path)
