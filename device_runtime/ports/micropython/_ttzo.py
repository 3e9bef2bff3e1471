# SPDX-License-Identifier: MIT
# The C runtime for a MicroPython with `ffi` (the unix port): the shared library, called as the native module is.
# `ttzo.py` says what the functions do; their contract stands in run.h.
import os
from array import array

import ffi
from uctypes import addressof

_folder = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
for _path in (os.getenv("TTZO_LIBRARY"), _folder + "/libttzo.so", "libttzo.so"):
    try:
        if _path:
            _library = ffi.open(_path)
            break
    except OSError:
        pass
else:
    raise ImportError("libttzo.so lies neither beside _ttzo.py nor where TTZO_LIBRARY says")


def _function(name, arguments, result="I"):
    return _library.func(result, "ttzo_run_" + name, arguments)


# The unix port raises KeyboardInterrupt out of the signal handler, wherever C is. What changes a model is done whole:
# the signal waits meanwhile.
_mask = ffi.open(None).func("i", "pthread_sigmask", "iPP")
_SIG_BLOCK, _SIG_SETMASK = 0, 2  # of Linux
_SIGINT = (1 << 2 - 1).to_bytes(128, "little")
_before = bytearray(128)


def _whole(function):
    def call(*arguments):
        _mask(_SIG_BLOCK, _SIGINT, _before)
        error = function(*arguments)
        _mask(_SIG_SETMASK, _before, None)
        return error

    return call


_need = _function("need", "PI")
_lend = _function("lend", "PPI")
_open = _function("open", "PIPI")
_gather = _function("gather", "PPIPIIII")
_predict = _function("predict", "PIPII")
_status = _function("status", "PPI")
_restore = _function("restore", "PPI")
_write = _function("write", "PIIPI")
_listen = _function("listen", "PPIPI")
_lock = _function("lock", "PPII")
_poll = _function("poll", "PCC")
_crc32 = _library.func("I", "ttzo_crc32", "IPL")

parts = _function("parts", "")
reset = _whole(_function("reset", "P"))
row = _function("row", "PII")
take = _function("take", "PI")
step = _whole(_function("step", "PI"))
evaluate = _function("evaluate", "PI")
solution_error = _function("solution_error", "PIII")
line_bytes = _function("line_bytes", "")
commit = _whole(_function("commit", "PIII"))
hang_up = _function("hang_up", "P")


def _item_bytes(data):
    view = memoryview(data)
    return addressof(view[1:]) - addressof(view) if len(view) else 1


def size(data):
    return len(data) * _item_bytes(data)


def kind(data):
    # ffi tells no type codes; an array does in its representation: array('i', ...)
    if isinstance(data, array):
        return ord(repr(data[:0])[7])
    code = {1: "B", 2: "H", 4: "f"}.get(_item_bytes(data), "d")
    if code == "f" and not isinstance(memoryview(data)[0], float):
        code = "i"
    return ord(code)


def need(head):
    return _need(head, len(head))


def open(memory, bundle):
    return _open(memory, len(memory), bundle, len(bundle))


def lend(memory, bundle):
    return _lend(memory, bundle, len(bundle))


def gather(memory, x, y, layout, first, count):
    return _gather(memory, x, size(x), y, size(y), layout, first & 0xFFFFFFFF, count)


def predict(memory, number, out, at):
    return _predict(memory, number, out, size(out), at)


def status(memory, out):
    return _status(memory, out, len(out))


def restore(memory, data):
    return _restore(memory, data, len(data))


def write(memory, region, offset, data):
    return _write(memory, region, offset, data, size(data))


def crc32(data, crc):
    return _crc32(crc, data, size(data))


def listen(memory, line, name):
    return _listen(memory, line, len(line), name, len(name))


def lock(memory, secrets, reading_open):
    return _lock(memory, secrets, len(secrets), reading_open)


def poll(memory, receive, send):
    # of a callback's argument only the low half is its own
    exchange = [ffi.callback("I", lambda count, call=call: call(count & 0xFFFFFFFF), "I") for call in (receive, send)]
    return _poll(memory, *exchange)
