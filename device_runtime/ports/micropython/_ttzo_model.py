# SPDX-License-Identifier: MIT
# What `import ttzo` gives: Model, load, serve. The file ttzo.py imports it after the native module.
import gc
import struct
import sys
from array import array

import _ttzo
from micropython import const

gc.collect()  # what is made below then fills the places that reading this has left

_BATCH = const(2)  # contract: enum.region.batch
_COLLOCATION = const(4)  # contract: enum.region.collocation

_ROWS = const(0)
_PAIRS = const(1)
_INPUTS = const(2)
_READINGS = const(4)
_NEXT = const(-1)

_OUT_OF_MEMORY = const(9)  # contract: error.out_of_memory
_NON_FINITE = const(14)  # contract: error.non_finite

_HEAD_BYTES = const(64)

# places in Model._facts, which are struct ttzo_run_facts from n_parameters on
_NUMBER = const(5)
_INPUT_BYTES = const(6)
_ROW_BYTES = const(7)
_CLASSES = const(8)
_PARAMETERS_AT = const(9)
_BATCH_AT = const(11)
_CAPACITY = const(12)
_HAS_EQUATION = const(13)
_READING_BYTES = const(15)

_RAW = (1, 66)  # kinds of bytes: where there is none, "B"

# places in _ttzo_refusals.TEXTS
_IS_TEXT = const(0)
_X_KIND = const(1)
_X_BYTES = const(2)
_NOT_CLASSES = const(3)
_NOT_FLOATS = const(4)
_Y_BYTES = const(5)
_EITHER_BYTES = const(6)
_NOT_PAIRS = const(7)
_NOT_RAW = const(8)
_ROWS_BYTES = const(9)
_FILE_BYTES = const(10)
_TRAINS_ON_ROWS = const(11)
_HAS_ONE = const(12)
_CALLBACK = const(13)
_STEPS = const(14)
_ROOM = const(15)


def _tight(function, *arguments):
    """The function's result. The heap is collected often meanwhile, as in ttzo.py."""
    usual = gc.threshold()  # type: ignore[attr-defined]  # MicroPython's own
    gc.collect()
    gc.threshold(512)  # type: ignore[attr-defined]  # MicroPython's own
    try:
        return function(*arguments)
    finally:
        gc.threshold(usual)  # type: ignore[attr-defined]  # MicroPython's own


def _once(name):
    """A module that is not kept: the heap is for training."""
    module = _tight(__import__, name)
    del sys.modules[name]
    return module


def _seldom(module, name, *arguments):
    """A function of such a module. In a frame of its own, so that nothing of the caller's holds it."""
    return _tight(getattr(_once(module), name), *arguments)


def _text(module, number):
    try:
        return _once(module).TEXTS[number]
    except (ImportError, MemoryError):  # the exception keeps its kind
        return "number %d in %s.py, which is not on the board or finds no room" % (number, module)


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


def _head(source):
    """A bundle's beginning, which says what memory the model needs."""
    if not isinstance(source, str):
        return source
    with open(source, "rb") as file:
        return file.read(_HEAD_BYTES)


class Model:
    """A network and its training run. Made by `load`."""

    # these lines make no code
    hash: bytes
    _facts: tuple
    _memory: bytearray
    _path: object
    _bundle: object
    _learner: object

    def __init__(self, source, room=0):
        if room < 0:
            _refuse(ValueError, _ROOM)
        # all attributes: their places come to lie below the memory
        self.n_parameters = self.n_inputs = self.n_outputs = self.batch = self._total = 0
        self.hash, self._facts, self._memory = b"", (), bytearray()
        self._path = self._bundle = self._learner = None
        need = _ttzo.need(_head(source)) + room + 7 & -8
        gc.collect()
        try:
            self._memory = bytearray(need)  # before what is read for a while lies in the way
        except MemoryError:
            _seldom("_ttzo_files", "check_bundle", source)  # is it the truth that so much is wanted?
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

    def params(self):
        """The parameters as they are now, float32."""
        out = array("f")  # which takes bytes without a second copy
        out.extend(self._view(self._facts[_PARAMETERS_AT], 4 * self.n_parameters))
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
            if classes == 1:
                _refuse(ValueError, _EITHER_BYTES, size, n, n, need)
            _refuse(ValueError, _Y_BYTES, size, n, need)

    def _source(self, x, y):
        """`(fill, n)`: fill(first, count) puts rows into the batch, those of the next step for `_NEXT`."""
        memory, width, layout = self._memory, self._facts[_ROW_BYTES], _ROWS
        if self._facts[_HAS_EQUATION] and y is None:
            _refuse(ValueError, _NOT_PAIRS)
        if hasattr(x, "readinto"):
            return self._file(x, width)
        if y is not None:
            n, layout = self._inputs(x)
            layout |= _PAIRS
            self._targets(y, n)
        else:
            n, y = _ttzo.size(x), b""
            if _kind(x) not in _RAW:
                _refuse(TypeError, _NOT_RAW)
            if not n or n % width:
                _refuse(ValueError, _ROWS_BYTES, n, width)
            n //= width
        return lambda first, count: _check(memory, _ttzo.gather(memory, x, y, layout, first, count)), n

    def _file(self, file, width):
        memory, n = self._memory, file.seek(0, 2)
        if not n or n % width:
            _refuse(ValueError, _FILE_BYTES, n, width)
        n //= width
        places = self._view(self._facts[_BATCH_AT], width * self._facts[_CAPACITY])

        def fill(first, count):
            for j in range(count):
                file.seek(width * (_ttzo.row(memory, j, n) if first == _NEXT else first + j))
                if file.readinto(places[width * j : width * (j + 1)]) != width:
                    raise OSError("the file has become shorter")
            _check(memory, _ttzo.take(memory, count))

        return fill, n

    # ---- work

    def predict(self, x):
        """The network's outputs for each row of inputs, or an equation's u, float32."""
        memory, (n, layout) = self._memory, self._inputs(x)
        out = array("f", bytes(4 * n * self.n_outputs))
        for first in range(0, n, self._facts[_CAPACITY]):
            count = min(self._facts[_CAPACITY], n - first)
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
        region, fill, loss = _COLLOCATION, None, None
        if self._facts[_HAS_EQUATION] != (x is None):
            _refuse(ValueError, _TRAINS_ON_ROWS if x is None else _HAS_ONE)
        if x is not None:
            fill, _ = self._source(x, y)
            region = _BATCH
        if callback and not callable(callback):
            _refuse(TypeError, _CALLBACK)
        for _ in self._range(steps):
            if fill:
                fill(_NEXT, self.batch)
            loss = self._step(region)
            if callback and callback(self.step, loss) is False:
                break
        return loss

    def _range(self, steps):
        if steps is None:
            steps = max(0, self.steps - self.step)
        if not isinstance(steps, int) or steps < 0:
            _refuse(ValueError, _STEPS)
        return range(steps)

    def _step(self, region):
        _check(self._memory, _ttzo.step(self._memory, region))
        return struct.unpack_from("<f", self._memory, 12)[0]

    def train_async(self, x=None, y=None, steps=None, callback=None):
        """`train` for a task of asyncio: `await m.train_async(x, y)`. Other tasks run between two steps."""
        return _seldom("_ttzo_learn", "train_async", self, x, y, steps, callback)

    def learn(self, x, y):
        """Takes one labelled row. Returns the loss of a training step when `batch` of them have come, None before."""
        if self._learner is None:
            self._learner = _seldom("_ttzo_learn", "Learner", self)
        return self._learner.add(self, x, y)  # type: ignore[attr-defined]

    def reset(self):
        """Back to the exported parameters, step 0. Rows that `learn` has kept are dropped."""
        self._learner = None
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
    return _tight(Model, source, room)


def serve(stream=None, model=None, key=None, reading_open=False):
    """Serves a model (a Model, or a file's name; default: the only .ttzo file here) to ttzo's host commands."""
    _once("_ttzo_serve").serve_any(stream, model, key, reading_open)
