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
_small = gc.mem_free() < 65536  # type: ignore[attr-defined]  # MicroPython's own
_usual = gc.threshold()  # type: ignore[attr-defined]  # MicroPython's own
# Reading a module leaves much to collect. Collected at every 512 bytes, it leaves few gaps in the heap, and what is free stays in
# one piece, for a model's memory.
gc.threshold(512)  # type: ignore[attr-defined]  # MicroPython's own
try:
    import _ttzo  # noqa: F401 - before anything else, as it is the largest piece

    gc.collect()
    from _ttzo_model import Model, _once, load, serve  # noqa: F401

    if _small:  # the names in these stay for good: they come to lie below a model, not above it
        for _name in ("_ttzo_load", "_ttzo_files", "_ttzo_train", "_ttzo_save", "_ttzo_evaluate"):
            _once(_name)
finally:
    # A small heap stays in order: what a step or a program leaves is collected soon.
    gc.threshold(1024 if _small and _usual < 0 else _usual)  # type: ignore[attr-defined]  # MicroPython's own
gc.collect()
