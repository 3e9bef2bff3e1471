# SPDX-License-Identifier: MIT
# Rows of a caller, and training on them: at once, or a step at a time among the tasks of asyncio. Imported where it is
# wanted, then let go.
import _ttzo
from _ttzo_model import _check, _kind, _refuse
from micropython import const

_BATCH = const(2)  # contract: enum.region.batch
_COLLOCATION = const(4)  # contract: enum.region.collocation

_ROWS = const(0)
_PAIRS = const(1)
_NEXT = const(-1)
_RAW = (1, 66)  # kinds of bytes: where there is none, "B"

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_ROW_BYTES = const(7)
_BATCH_AT = const(11)
_CAPACITY = const(12)
_HAS_EQUATION = const(13)

# texts of _ttzo_refusals
_NOT_PAIRS = const(6)
_NOT_RAW = const(7)
_ROWS_BYTES = const(8)
_FILE_BYTES = const(9)
_TRAINS_ON_ROWS = const(10)
_HAS_ONE = const(11)
_CALLBACK = const(12)
_STEPS = const(13)


def source(model, x, y):
    """`(fill, n)`: fill(first, count) puts rows into the batch, those of the next step for `_NEXT`."""
    memory, width, layout = model._memory, model._facts[_ROW_BYTES], _ROWS
    if model._facts[_HAS_EQUATION] and y is None:
        _refuse(ValueError, _NOT_PAIRS)
    if hasattr(x, "readinto"):
        return stream(model, x, width)
    if y is not None:
        n, layout = model._inputs(x)
        layout |= _PAIRS
        model._targets(y, n)
    else:
        n, y = _ttzo.size(x), b""
        if _kind(x) not in _RAW:
            _refuse(TypeError, _NOT_RAW)
        if not n or n % width:
            _refuse(ValueError, _ROWS_BYTES, n, width)
        n //= width
    return lambda first, count: _check(memory, _ttzo.gather(memory, x, y, layout, first, count)), n


def stream(model, file, width):
    memory, n = model._memory, file.seek(0, 2)
    if not n or n % width:
        _refuse(ValueError, _FILE_BYTES, n, width)
    n //= width
    places = model._view(model._facts[_BATCH_AT], width * model._facts[_CAPACITY])

    def fill(first, count):
        for j in range(count):
            file.seek(width * (_ttzo.row(memory, j, n) if first == _NEXT else first + j))
            if file.readinto(places[width * j : width * (j + 1)]) != width:
                raise OSError("the file has become shorter")
        _check(memory, _ttzo.take(memory, count))

    return fill, n


def start(model, x, y, steps, callback):
    """What fills a step's batch (None: the model has an equation), and the steps to do."""
    if model._facts[_HAS_EQUATION] != (x is None):
        _refuse(ValueError, _TRAINS_ON_ROWS if x is None else _HAS_ONE)
    if callback and not callable(callback):
        _refuse(TypeError, _CALLBACK)
    if model._learner:
        model._learner.leave(model)
    if steps is None:
        steps = max(0, model.steps - model.step)
    if not isinstance(steps, int) or steps < 0:
        _refuse(ValueError, _STEPS)
    return None if x is None else source(model, x, y)[0], range(steps)


def _step(model, fill):
    if fill:
        fill(_NEXT, model.batch)
    return model._step(_BATCH if fill else _COLLOCATION)


def train(model, x, y, steps, callback):
    """See Model.train."""
    loss = None
    fill, steps = start(model, x, y, steps, callback)
    for _ in steps:
        loss = _step(model, fill)
        if callback and callback(model.step, loss) is False:
            break
    return loss


async def train_async(model, x, y, steps, callback):
    """See Model.train_async."""
    import asyncio

    loss = None
    fill, steps = start(model, x, y, steps, callback)
    model._learner = model._learner or False  # another task may call learn
    for _ in steps:
        loss = _step(model, fill)
        if callback and callback(model.step, loss) is False:
            break
        await asyncio.sleep(0)
    return loss
