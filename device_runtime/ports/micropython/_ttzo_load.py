# SPDX-License-Identifier: MIT
# Model's beginning: all its memory, and the model in it. Imported where a model is loaded, then let go.
import struct

import _ttzo
from _ttzo_model import _check, _once
from micropython import const

_BAD_BUNDLE = const(5)  # contract: error.bad_bundle
_OUT_OF_MEMORY = const(9)  # contract: error.out_of_memory
_HASH_AT = const(16)  # contract: offset.bundle_header.hash
_HASH_BYTES = const(16)  # contract: limit.hash_bytes


def _refuse(detail):
    _check(struct.pack("<I", detail), _BAD_BUNDLE)


def _read_head(source):
    """The first bytes of a bundle, its length (0 of a buffer), and whether something follows it in the file."""
    if not isinstance(source, str):
        return source[:64] if len(source) > 64 else source, 0, False
    with open(source, "rb") as file:
        head, size = file.read(64), file.seek(0, 2)
    if len(head) < 16:
        _refuse(1)
    if head[:4] != b"TTZO":
        _refuse(2)
    total = struct.unpack_from("<I", head, 8)[0]
    if total < 64 or total > size:
        _refuse(3)
    return head, total, size > total


def load(model, source, room):
    """See ttzo.load. Whether a saved run follows the bundle in the file."""
    memory, bundle = model._memory, _once("_ttzo_bundle")
    head, total, has_run = _read_head(source)
    if not _ttzo.need(head):
        _refuse(2)
    model._path, model._total, model._bundle = source if total else None, total, None
    error = _OUT_OF_MEMORY
    if total and not room and len(memory) > total:  # whose end only a step needs
        error = _ttzo.open(memory, bundle.read(model, bundle.end(model)))
        bundle.keep(model)
    if error == _OUT_OF_MEMORY:  # it is too small, or the model has an equation, or will be served
        model._bundle = bundle.read(model, bytearray(total)) if total else source
        error = _ttzo.open(memory, model._bundle)
    _check(memory, error)
    model.hash = bytes(memoryview(head)[_HASH_AT : _HASH_AT + _HASH_BYTES])  # what the host knows the model by
    facts = struct.unpack_from("<14I", memory, 36)
    model.n_parameters, model._n_moments, model.batch, model.n_inputs, model.n_outputs, number = facts[:6]
    model._input_bytes, model._row_bytes, model._classes = facts[6:9]  # of a row
    model._parameters_at, model._moments_at, model._batch_at, model._capacity, model._has_equation = facts[9:]
    model._kind = "Bhf"[number]  # of the inputs
    model._reading_bytes = struct.unpack_from("<I", memory, 96)[0]
    return has_run
