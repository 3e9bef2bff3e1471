# SPDX-License-Identifier: MIT
# Training beside other work: a labelled row at a time, and a step at a time among the tasks of asyncio. Imported where
# it is wanted.
import _ttzo
from _ttzo_model import _check
from micropython import const

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_ROW_BYTES = const(7)
_BATCH_AT = const(11)
_HAS_EQUATION = const(13)

_PAIRS = const(1)
_BATCH = const(2)  # contract: enum.region.batch


class Learner:
    """Keeps labelled rows until they are a batch: predicting in between uses the model's own place for one."""

    def __init__(self, model):
        if model._facts[_HAS_EQUATION]:
            raise ValueError("the model trains on an equation, not on rows")
        self._rows = bytearray(model.batch * model._facts[_ROW_BYTES])
        self._n = 0

    def add(self, model, x, y):
        """Takes one row; the loss of a step when the batch is full, None before."""
        n, layout = model._inputs(x)
        if n != 1:
            raise ValueError("learn takes one row of inputs")
        model._targets(y, 1)
        memory, width, rows = model._memory, model._facts[_ROW_BYTES], self._rows
        _check(memory, _ttzo.gather(memory, x, y, _PAIRS | layout, 0, 1))
        at = width * self._n
        rows[at : at + width] = model._view(model._facts[_BATCH_AT], width)
        self._n += 1
        if self._n < model.batch:
            return None
        self._n = 0
        model._view(model._facts[_BATCH_AT], len(rows))[:] = rows
        _check(memory, _ttzo.take(memory, model.batch))
        return model._step(_BATCH)


async def train_async(model, x, y, steps, callback):
    """See Model.train_async."""
    import asyncio

    go_on = True

    def after(step, loss):
        nonlocal go_on
        go_on = not (callback and callback(step, loss) is False)

    loss = None
    for _ in model._range(steps):
        loss = model.train(x, y, 1, after)
        if not go_on:
            break
        await asyncio.sleep(0)
    return loss
