# SPDX-License-Identifier: MIT
# What `import ttzo` gives: Model, load, serve. The file ttzo.py imports it after the native module.
import gc

gc.collect()  # what is made below then fills the places that reading this has left

import struct
import sys
from array import array

import _ttzo
from micropython import const

gc.collect()

_INPUTS = const(2)
_READINGS = const(4)

_OUT_OF_MEMORY = const(9)  # contract: error.out_of_memory
_NON_FINITE = const(14)  # contract: error.non_finite

_HEAD_BYTES = const(64)

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_NUMBER = const(5)
_INPUT_BYTES = const(6)
_CLASSES = const(8)
_PARAMETERS_AT = const(9)
_READING_BYTES = const(15)

_RAW = (1, 66)  # kinds of bytes: where there is none, "B"

# texts of _ttzo_refusals
_IS_TEXT = const(0)
_X_KIND = const(1)
_X_BYTES = const(2)
_NOT_CLASSES = const(3)
_NOT_FLOATS = const(4)
_Y_BYTES = const(5)
_ROOM = const(14)


_PLENTY = const(65536)  # bytes of heap; with as many free none is collected, and what was read stays


def _tight(function, *arguments):
    """The function's result. A small heap is collected often meanwhile, as in ttzo.py."""
    usual = gc.threshold()  # type: ignore[attr-defined]  # MicroPython's own
    if gc.mem_free() < _PLENTY:  # type: ignore[attr-defined]  # MicroPython's own
        gc.collect()
        gc.threshold(512)  # type: ignore[attr-defined]  # MicroPython's own
    try:
        return function(*arguments)
    finally:
        gc.threshold(usual)  # type: ignore[attr-defined]  # MicroPython's own


def _once(name):
    """A module that a small heap does not keep: it is for training."""
    module = _tight(__import__, name)
    if gc.mem_free() < _PLENTY:  # type: ignore[attr-defined]  # MicroPython's own
        del sys.modules[name]
    return module


def _seldom(module, name, *arguments):
    """A function of such a module. In a frame of its own, so that nothing of the caller's holds it."""
    return _tight(getattr(_once(module), name), *arguments)


def _text(module, number):
    try:
        return _once(module).text(number)
    except (ImportError, MemoryError):  # the exception keeps its kind
        return "error %d of %s.py, which is not here or finds no room" % (number, module)


def _check(memory, error):
    if error:
        detail = str(struct.unpack_from("<I", memory, 0)[0])
        kind = {_OUT_OF_MEMORY: MemoryError, _NON_FINITE: ArithmeticError}.get(error, ValueError)
        raise kind(_text("_ttzo_texts", error).replace("{detail}", detail))


def _refuse(kind, number, *facts):
    """Raises an exception of that kind for what a caller has given."""
    text = _text("_ttzo_refusals", number)
    raise kind(text.format(*facts))


def _kind(buffer):
    if isinstance(buffer, str):
        _refuse(TypeError, _IS_TEXT)
    return _ttzo.kind(buffer)


def _need(source):
    """Bytes of memory for the model, as its bundle's beginning says."""
    if not isinstance(source, str):
        return _ttzo.need(source)
    with open(source, "rb") as file:
        return _ttzo.need(file.read(_HEAD_BYTES))


class Model:
    """A network and its training run. Made by `load`."""

    # these lines make no code
    hash: bytes
    _facts: list
    _memory: bytearray
    _path: object
    _bundle: object
    _learner: object  # False: none yet, and the rows that it keeps may not lie in the batch
    _places: int  # of the batch that hold none of them

    def __init__(self, source, room, need):
        # all attributes: their places come to lie below the memory
        self.n_parameters = self.n_inputs = self.n_outputs = self.batch = self._total = self._places = 0
        self.hash, self._facts, self._memory = b"", [0] * 16, bytearray()
        self._path = self._bundle = self._learner = None
        gc.collect()
        try:
            self._memory = bytearray(need)  # before what is read for a while lies in the way
        except MemoryError:
            _seldom("_ttzo_files", "check", source)  # is it the truth that so much is wanted?
            raise
        if _seldom("_ttzo_load", "load", self, source, room):
            _seldom("_ttzo_files", "restore", self, source, self._total)

    # ---- what it knows

    @property
    def step(self):
        """Steps done."""
        return struct.unpack_from("<I", self._memory, 4)[0]

    @property
    def steps(self):
        """Steps of the whole schedule."""
        return struct.unpack_from("<I", self._memory, 8)[0]

    def _view(self, at, count):
        return memoryview(self._memory)[at : at + count]

    def params(self, first=0, count=None):
        """The parameters as they are now, float32: all, or `count` of them from `first` on."""
        out = array("f")  # which takes bytes without a second copy
        left = max(0, self.n_parameters - first)
        out.extend(
            self._view(self._facts[_PARAMETERS_AT] + 4 * first, 4 * (left if count is None else min(count, left)))
        )
        return out

    # ---- rows

    def _inputs(self, x):
        """How many rows `x` holds, of the right kind and length; and `_READINGS` where they are readings, else 0."""
        kind, size, width, layout = _kind(x), _ttzo.size(x), self._facts[_INPUT_BYTES], 0
        if self._facts[_READING_BYTES] and kind == ord("f"):
            width, layout = self._facts[_READING_BYTES], _READINGS
        elif kind not in _RAW and chr(kind).lower() != "Bhf"[self._facts[_NUMBER]]:
            _refuse(TypeError, _X_KIND, "Bhf"[self._facts[_NUMBER]], chr(kind))
        if not size or size % width:
            _refuse(ValueError, _X_BYTES, size, width)
        return size // width, layout

    def _targets(self, y, n):
        kind, size = _kind(y), _ttzo.size(y)
        classes = self._facts[_CLASSES]
        need = 2 * n * classes or 4 * n * self.n_outputs
        if kind not in _RAW and kind not in ((72, 104) if classes else (102,)):  # H, h or f
            _refuse(TypeError, _NOT_CLASSES if classes else _NOT_FLOATS, chr(kind))
        if size != need and (classes != 1 or size != n):
            _refuse(ValueError, _Y_BYTES, size, n, "%d or %d" % (n, need) if classes == 1 else need)

    # ---- work

    def predict(self, x):
        """The network's outputs for each row of inputs, or an equation's u, float32."""
        memory, (n, layout) = self._memory, self._inputs(x)
        out = array("f", bytes(4 * n * self.n_outputs))
        for first in range(0, n, self._places):
            count = min(self._places, n - first)
            _check(memory, _ttzo.gather(memory, x, b"", _INPUTS | layout, first, count))
            for j in range(count):
                _check(memory, _ttzo.predict(memory, j, out, 4 * (first + j) * self.n_outputs))
        return out

    def evaluate(self, x, y=None):
        """`(loss, accuracy)` over rows; accuracy is None where the targets are no classes."""
        return _seldom("_ttzo_evaluate", "evaluate", self, x, y)

    def loss(self, x, y=None):
        """Mean loss over rows."""
        return self.evaluate(x, y)[0]

    def solution_error(self, x=None, y=None, n=1000):
        """Relative l2 error of an equation's u against the exact one: at `n` seeded points where the model knows its
        solution, or at the points `x` with the values `y` (float32, n rows)."""
        return _seldom("_ttzo_evaluate", "solution_error", self, x, y, n)

    def train(self, x=None, y=None, steps=None, callback=None):
        """Does `steps` training steps (default: what is left of the schedule) and returns the last one's loss.

        `callback(step, loss)` is called after each; when it returns False, training ends. Ctrl-C ends it between two
        steps; what was done is kept, and the next call goes on from there.
        """
        return _once("_ttzo_train").train(self, x, y, steps, callback)

    def _step(self, region):
        _check(self._memory, _ttzo.step(self._memory, region))
        return struct.unpack_from("<f", self._memory, 12)[0]

    def train_async(self, x=None, y=None, steps=None, callback=None):
        """`train` for a task of asyncio: `await m.train_async(x, y)`. Other tasks run between two steps."""
        return _once("_ttzo_train").train_async(self, x, y, steps, callback)

    def learn(self, x, y):
        """Takes one labelled row. Returns the loss of a training step when `batch` of them have come, None before."""
        if not self._learner:
            self._learner = _seldom("_ttzo_learn", "Learner", self)
        return self._learner.add(self, x, y)  # type: ignore[attr-defined]

    def reset(self):
        """Back to the exported parameters, step 0. Rows that `learn` has kept are dropped."""
        _seldom("_ttzo_load", "reset", self)

    # ---- files

    def save(self, path):
        """Writes the model with its present state; `load` goes on from there in the same bits. The file at `path` is
        replaced only when the new one is whole."""
        _seldom("_ttzo_save", "save", self, path)

    # ---- the link

    def serve(self, stream=None, key=None, reading_open=False):
        """Answers ttzo's host commands on `stream` (a machine.UART, a socket; default: where the prompt is) until the
        host leaves. On the prompt's port Ctrl-C is off meanwhile. With a key (32 bytes, or the file of `ttzo key make`)
        only its holders give orders; `reading_open` lets anybody read."""
        _once("_ttzo_serve").serve(self, stream, key, reading_open)


# ---- files ----------------------------------------------------------------------------------------------------------


def load(source, room=0):
    """The model in a file that `ttzo export` or `save` wrote, or in a buffer (4-byte aligned; it stays in use).

    `room` is for rows that the host keeps on the board while it trains over the link, in bytes. All memory is taken
    here, once.
    """
    if room < 0:
        _refuse(ValueError, _ROOM)
    need = _tight(_need, source) + room + 7 & -8
    return _tight(Model, source, room, need)


def serve(stream=None, model=None, key=None, reading_open=False):
    """Serves a model (a Model, or a file's name; default: the only .ttzo file here) to ttzo's host commands."""
    _once("_ttzo_serve").serve_any(stream, model, key, reading_open)
