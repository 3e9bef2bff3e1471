# SPDX-License-Identifier: MIT
# A model put into its memory, and its bundle put there again. Imported where that is wanted, then let go.
import struct

import _ttzo
from _ttzo_model import _check
from micropython import const

_BAD_BUNDLE = const(5)  # contract: error.bad_bundle
_OUT_OF_MEMORY = const(9)  # contract: error.out_of_memory
_HASH_AT = const(16)  # contract: offset.bundle_header.hash
_HASH_BYTES = const(16)  # contract: limit.hash_bytes

_CAPACITY = const(12)  # a place in Model._facts, which are struct ttzo_run_facts from n_parameters on


def refuse(detail):
    _check(struct.pack("<I", detail), _BAD_BUNDLE)


def _head(source):
    """The first bytes of a bundle, its length (0 of a buffer), and whether something follows it in the file."""
    if not isinstance(source, str):
        return source[:64] if len(source) > 64 else source, 0, False
    with open(source, "rb") as file:
        head, size = file.read(64), file.seek(0, 2)
    if len(head) < 16:
        refuse(1)
    if head[:4] != b"TTZO":
        refuse(2)
    total = struct.unpack_from("<I", head, 8)[0]
    if total < 64 or total > size:
        refuse(3)
    return head, total, size > total


# ---- the bundle: what lies in a file is not kept, but read again where it is wanted


def end(model):
    """As much of the memory's end as the bundle needs: where only a step writes."""
    return model._view(len(model._memory) - model._total & -8, model._total)


def read(model, place):
    with open(model._path, "rb") as file:
        file.readinto(place)
    return place


def lend(model, place):
    """The bundle, read into that place and given to the runtime, which checks that it is the model's."""
    _check(model._memory, _ttzo.lend(model._memory, read(model, place)))
    return place


def keep(model):
    """Ends the loan."""
    if model._bundle is None:
        _ttzo.lend(model._memory, b"")


def reset(model):
    """See Model.reset."""
    model._learner, model._places = None, model._facts[_CAPACITY]
    try:
        if model._bundle is None:
            lend(model, end(model))
        _check(model._memory, _ttzo.reset(model._memory))
    finally:
        keep(model)


# ---- loading


def load(model, source, room):
    """See ttzo.load. Whether a saved run follows the bundle in the file."""
    memory = model._memory
    head, total, has_run = _head(source)
    if not _ttzo.need(head):
        refuse(2)
    model._path, model._total, model._bundle = source if total else None, total, None
    error = _OUT_OF_MEMORY
    if total and not room and len(memory) > total:  # whose end only a step needs
        error = _ttzo.open(memory, read(model, end(model)))
        keep(model)
    if error == _OUT_OF_MEMORY:  # it is too small, or the model has an equation, or will be served
        model._bundle = read(model, bytearray(total)) if total else source
        error = _ttzo.open(memory, model._bundle)
    _check(memory, error)
    model.hash = bytes(memoryview(head)[_HASH_AT : _HASH_AT + _HASH_BYTES])  # what the host knows the model by
    facts = model._facts
    facts[:] = struct.unpack_from("<16I", memory, 36)
    model.n_parameters, _, model.batch, model.n_inputs, model.n_outputs = facts[:5]
    model._places = facts[_CAPACITY]
    return has_run
