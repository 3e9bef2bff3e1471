# SPDX-License-Identifier: MIT
# One labelled row at a time. Imported where it is wanted; what is kept of it lies in the model.
import _ttzo
from _ttzo_model import _check
from micropython import const

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_ROW_BYTES = const(7)
_BATCH_AT = const(11)
_CAPACITY = const(12)
_HAS_EQUATION = const(13)

_PAIRS = const(1)
_BATCH = const(2)  # contract: enum.region.batch


class Learner:
    """Keeps labelled rows until they are a batch: in the batch's own memory from its end on, since other work uses its
    first places; or apart, where something else may train meanwhile."""

    def __init__(self, model):
        if model._facts[_HAS_EQUATION]:
            raise ValueError("the model trains on an equation, not on rows")
        self._n, self._rows = 0, None
        if model._learner is False:
            self.leave(model)

    def leave(self, model):
        """From now on the rows lie apart."""
        width = model._facts[_ROW_BYTES]
        if self._rows is None:
            rows = bytearray(model.batch * width)
            for k in range(self._n):
                rows[width * k : width * (k + 1)] = _place(model, model.batch - 1 - k)
            self._rows, model._places = rows, model._facts[_CAPACITY]

    def add(self, model, x, y):
        """Takes one row; the loss of a step when the batch is full, None before."""
        n, layout = model._inputs(x)
        if n != 1:
            raise ValueError("learn takes one row of inputs")
        model._targets(y, 1)
        memory, width, rows, last = model._memory, model._facts[_ROW_BYTES], self._rows, model.batch - 1
        _check(memory, _ttzo.gather(memory, x, y, _PAIRS | layout, 0, 1))
        n = self._n
        if rows:
            rows[width * n : width * (n + 1)] = _place(model, 0)
        else:
            _place(model, last - n)[:] = _place(model, 0)
            model._places -= 1
        self._n = n + 1
        if n < last:
            return None
        self._n = 0
        if rows:
            model._view(model._facts[_BATCH_AT], len(rows))[:] = rows
        else:
            model._places = model._facts[_CAPACITY]
            for k in range(model.batch // 2):
                row = bytes(_place(model, k))
                _place(model, k)[:] = _place(model, last - k)
                _place(model, last - k)[:] = row
        _check(memory, _ttzo.take(memory, model.batch))
        return model._step(_BATCH)


def _place(model, k):
    """A row of the batch."""
    return model._view(model._facts[_BATCH_AT] + model._facts[_ROW_BYTES] * k, model._facts[_ROW_BYTES])
