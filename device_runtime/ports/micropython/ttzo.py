# SPDX-License-Identifier: MIT
"""Train a network on this board, with forward passes only.

    import ttzo
    m = ttzo.load("model.ttzo")
    m.train(x, y, steps=100)   # a model of an equation: m.train(steps=100)
    m.predict(x)

Rows are inputs and targets: `x` holds n rows of inputs one after the other in the model's number (uint8, int16 or
float32), `y` n classes of one or two bytes, n rows of a two-byte class for each place of a sequence, or n rows of
float32 outputs. Both are anything with the buffer protocol: array, bytearray, bytes, memoryview, ulab's ndarray. Without
`y`, `x` holds whole rows, inputs then target, in a buffer or in a file opened with "rb". Where the model carries the
normalisation of its training table, float32 numbers in `x` are readings as they stood there; bytes are normalised rows. A model that trains on a differential equation needs no rows.
"""

import gc

gc.collect()
import _ttzo  # noqa: F401 - before anything else: the heap above the largest piece stays in one

gc.collect()  # reading it has left much
from _ttzo_model import Model, load, serve  # noqa: F401

gc.collect()
