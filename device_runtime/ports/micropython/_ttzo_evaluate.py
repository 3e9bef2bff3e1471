# SPDX-License-Identifier: MIT
# Model.evaluate and Model.solution_error of _ttzo_model.py. Imported where they are called, then let go.
import struct

import _ttzo
from _ttzo_model import _check, _once
from micropython import const

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_CAPACITY = const(12)
_HAS_EQUATION = const(13)

_BATCH = const(2)  # contract: enum.region.batch
_COLLOCATION = const(4)  # contract: enum.region.collocation
_POINTS_AT_ONCE = const(64)


def evaluate(model, x, y):
    """See Model.evaluate."""
    if model._facts[_HAS_EQUATION]:
        raise ValueError("the model has an equation: m.solution_error() evaluates it")
    memory, most = model._memory, model._places
    fill, n = _once("_ttzo_train").source(model, x, y)
    loss, hits, judged = 0.0, 0, 0
    for first in range(0, n, most):
        count = min(most, n - first)
        fill(first, count)
        _check(memory, _ttzo.evaluate(memory, count))
        part, _, _, right = struct.unpack_from("<ffII", memory, 12)
        loss, hits = loss + part, hits + right
        judged += struct.unpack_from("<I", memory, 92)[0]
    return loss / n, (hits / judged if judged else None)


def solution_error(model, x, y, n):
    """See Model.solution_error."""
    memory, error, exact = model._memory, 0.0, 0.0
    region, most = _COLLOCATION, _POINTS_AT_ONCE
    if not model._facts[_HAS_EQUATION]:
        raise ValueError("the model has no equation: m.evaluate(x, y)")
    if x is not None:
        fill, n = _once("_ttzo_train").source(model, x, y)
        region, most = _BATCH, model._facts[_CAPACITY]
    for at in range(0, n, most):
        count, first = min(most, n - at), at
        if x is not None:
            fill(at, count)
            first = 0
        _check(memory, _ttzo.solution_error(memory, region, first, count))
        error += struct.unpack_from("<f", memory, 12)[0]
        exact += struct.unpack_from("<f", memory, 28)[0]
    return (error / exact) ** 0.5 if exact else None
