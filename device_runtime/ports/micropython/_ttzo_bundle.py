# SPDX-License-Identifier: MIT
# The bundle of a model in a file, read again where it is wanted: what lies in a file is not kept. Imported then, and let go.
import _ttzo
from _ttzo_model import _check


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
    try:
        if model._bundle is None:
            lend(model, end(model))
        _check(model._memory, _ttzo.reset(model._memory))
    finally:
        keep(model)
