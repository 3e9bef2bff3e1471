# SPDX-License-Identifier: MIT
# What `import ttzo` gives: Model, load, serve. The file ttzo.py imports it after the native module.
import gc
import os
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

_RAW = (1, 66)  # kinds of bytes: where there is none, "B"


def _once(name):
    """A module that is not kept: the heap is for training."""
    gc.collect()  # it shall lie in the places that are left, not in the one large piece
    module = __import__(name)
    del sys.modules[name]
    return module


def _seldom(module, name, *arguments):
    """A function of such a module. In a frame of its own, so that nothing of the caller's holds it."""
    return getattr(_once(module), name)(*arguments)


def _check(memory, error):
    if not error:
        return
    detail = struct.unpack_from("<I", memory, 0)[0]
    try:
        text = _once("_ttzo_texts").TEXTS[error].replace("{detail}", str(detail))
    except ImportError:
        text = "error %d (detail %d); put _ttzo_texts.py onto the board to read it in words" % (error, detail)
    if error == _OUT_OF_MEMORY:
        raise MemoryError(text)
    if error == _NON_FINITE:
        raise ArithmeticError(text)
    raise ValueError(text)


def _kind(buffer):
    if isinstance(buffer, str):
        raise TypeError("rows are numbers, not text")
    return _ttzo.kind(buffer)


class Model:
    """A network and its training run. Made by `load`."""

    # what _ttzo_load sets; these lines make no code
    n_parameters: int
    n_inputs: int
    n_outputs: int
    batch: int
    hash: bytes
    _path: str
    _total: int
    _bundle: object
    _n_moments: int
    _input_bytes: int
    _row_bytes: int
    _reading_bytes: int
    _classes: int
    _parameters_at: int
    _moments_at: int
    _batch_at: int
    _capacity: int
    _has_equation: int
    _kind: str

    def __init__(self, source, room=0):
        self._learner = None
        need = _seldom("_ttzo_load", "need", source, room)
        gc.collect()
        try:
            self._memory = bytearray(need)  # while nothing lies in the way that will be let go
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
        return array("f", bytes(self._view(self._parameters_at, 4 * self.n_parameters)))

    # ---- the bundle

    def _end(self):
        """As much of the memory's end as the bundle needs."""
        return self._view(len(self._memory) - self._total & -8, self._total)

    def _read_bundle(self, to):
        with open(self._path, "rb") as file:
            file.readinto(to)
        return to

    def _lend(self, place):
        """The bundle, read into that place and given to the runtime, which checks that it is the model's."""
        _check(self._memory, _ttzo.lend(self._memory, self._read_bundle(place)))
        return place

    def _keep(self):
        """Ends the loan; what lies in a file is not kept."""
        if self._bundle is None:
            _ttzo.lend(self._memory, b"")

    # ---- rows

    def _inputs(self, x):
        """How many rows `x` holds, of the right kind and length; and `_READINGS` where they are readings, else 0."""
        kind, size, width, layout = _kind(x), _ttzo.size(x), self._input_bytes, 0
        if self._reading_bytes and kind == ord("f"):
            width, layout = self._reading_bytes, _READINGS
        elif kind not in _RAW and chr(kind).lower() != self._kind:
            raise TypeError("x needs numbers of kind '%s' or raw bytes, not '%c'" % (self._kind, kind))
        if not size or size % width:
            raise ValueError("x has %d bytes, a row of inputs has %d" % (size, width))
        return size // width, layout

    def _targets(self, y, n):
        kind, size = _kind(y), _ttzo.size(y)
        bytes_needed = 2 * n * self._classes or 4 * n * self.n_outputs
        wanted = (n, bytes_needed) if self._classes == 1 else (bytes_needed,)
        kinds = (ord("H"), ord("h")) if self._classes else (ord("f"),)
        if kind not in _RAW and kind not in kinds:
            raise TypeError(
                "y needs %s, not '%c'"
                % ("classes of kind 'B' or 'H'" if self._classes else "float32 outputs of kind 'f'", kind)
            )
        if size not in wanted:
            raise ValueError("y has %d bytes, %d rows need %s" % (size, n, " or ".join(map(str, wanted))))

    def _source(self, x, y):
        """`(fill, n)`: fill(first, count) puts rows into the batch, those of the next step for `_NEXT`."""
        memory = self._memory
        if self._has_equation and y is None:
            raise ValueError("the model has an equation: rows are points in x and values in y")
        if hasattr(x, "readinto"):
            return self._file(x)
        if y is not None:
            n, layout = self._inputs(x)
            layout |= _PAIRS
            self._targets(y, n)
        else:
            layout, y, size = _ROWS, b"", _ttzo.size(x)
            if _kind(x) not in _RAW:
                raise TypeError("without y, x needs whole rows as raw bytes")
            if not size or size % self._row_bytes:
                raise ValueError("x has %d bytes, a row of inputs and target has %d" % (size, self._row_bytes))
            n = size // self._row_bytes
        return lambda first, count: _check(memory, _ttzo.gather(memory, x, y, layout, first, count)), n

    def _file(self, file):
        memory, width = self._memory, self._row_bytes
        size = file.seek(0, 2)
        if not size or size % width:
            raise ValueError("the file has %d bytes, a row of inputs and target has %d" % (size, width))
        n = size // width
        places = self._view(self._batch_at, width * self._capacity)

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
        for first in range(0, n, self._capacity):
            count = min(self._capacity, n - first)
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
        region, fill = _COLLOCATION, None
        if self._has_equation != (x is None):
            raise ValueError("the model trains on %s" % ("an equation, not on rows" if self._has_equation else "rows"))
        if x is not None:
            fill, _ = self._source(x, y)
            region = _BATCH
        if callback and not callable(callback):
            raise TypeError("callback is a function of step and loss")
        loss = None
        for _ in self._range(steps):
            if fill:
                fill(_NEXT, self.batch)
            loss = self._step(region)
            if callback and callback(self.step, loss) is False:
                break
        return loss

    def _range(self, steps):
        if steps is None:
            return range(max(0, self.steps - self.step))
        if not isinstance(steps, int) or steps < 0:
            raise ValueError("steps is a number of steps: 0, 1, 2, ..")
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
        return self._learner.add(self, x, y)

    def reset(self):
        """Back to the exported parameters, step 0. Rows that `learn` has kept are dropped."""
        self._learner = None
        try:
            if self._bundle is None:
                self._lend(self._end())
            _check(self._memory, _ttzo.reset(self._memory))
        finally:
            self._keep()

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
        import _ttzo_serve

        _ttzo_serve.serve(self, stream, _check, key, reading_open)


# ---- files ----------------------------------------------------------------------------------------------------------


def load(source, room=0):
    """The model in a file that `ttzo export` or `save` wrote, or in a buffer (4-byte aligned; it stays in use).

    `room` is for rows that the host keeps on the board while it trains over the link, in bytes. All memory is taken
    here, once.
    """
    return Model(source, room)


def serve(stream=None, model=None, key=None, reading_open=False):
    """Serves a model (a Model, or a file's name; default: the only .ttzo file here) to ttzo's host commands."""
    if model is None:
        names = [name for name in os.listdir() if name.endswith(".ttzo")]
        if len(names) != 1:
            raise ValueError("say which model to serve: there are %d .ttzo files here" % len(names))
        model = names[0]
    (load(model) if isinstance(model, str) else model).serve(stream, key, reading_open)
