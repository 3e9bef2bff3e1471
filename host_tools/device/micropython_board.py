# SPDX-License-Identifier: MIT
"""A MicroPython board at its prompt: code and files go there by mpremote, and it serves the link on the same port.

    with MicroPythonBoard("/dev/ttyACM0") as board:
        print(board.facts().architecture)
        link = Link(board.serve(model_hash))

This is the one module that imports mpremote.
"""

import ast
import contextlib
import io
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import serial

from ttzo.device_runtime.contract import MESSAGE, ExitCode, TtzoError
from ttzo.host_tools.device.frames import Frame, encode, hello
from ttzo.host_tools.device.ports import LinkError, open_port

PIP = "pip install 'ttzo[micropython]'"
# bits 10 to 13 of sys.implementation._mpy, and of a .mpy file's third byte 2 to 5
ARCHITECTURES = {
    1: "x86",
    2: "x64",
    3: "armv6",
    4: "armv6m",
    5: "armv7m",
    6: "armv7em",
    7: "armv7emsp",
    8: "armv7emdp",
    9: "xtensa",
    10: "xtensawin",
    11: "rv32imc",
    12: "rv64imc",
}
LOADS = {"armv7em": "armv7m"}  # boards without a module of their own: Cortex-M3, Cortex-M4 without FPU
SCHEME = "mpy:"
ENTER_S = 2.0  # for a prompt that is there
ANSWER_S = 10.0  # that a board which has shown its prompt may be silent: its heap is collected, its flash erased
LEAVE_S = 1.0
SETTLE_S = 0.05  # until a board has said what it was about to say
PIECE_BYTES = 512  # of a file, at once
OnProgress = Callable[[int, int], object]

# What the board reports of itself; _ttzo may be there without a file of ours: built into the firmware, or through ffi; and
# so may ttzo, frozen into it.
FACTS = """
import sys, os, gc
gc.collect()
def is_there(path):
    try:
        return bool(os.stat(path))
    except OSError:
        return False
def is_file(*names):
    return any(is_there((p + '/' if p else '') + name) for p in sys.path for name in names)
lib = [p for p in sys.path if p.endswith('/lib') and is_there(p)]
try:
    room = os.statvfs('')
    room = room[0] * room[3]
except (AttributeError, OSError):
    room = None
heap = gc.mem_free()
built, frozen, parts = False, False, 0
try:
    import _ttzo
    built = not is_file('_ttzo.mpy')
    parts = _ttzo.parts()
    if built and not is_file('ttzo.mpy', 'ttzo.py'):
        import ttzo
        frozen = True
except (ImportError, AttributeError, ValueError, MemoryError):
    pass
i = sys.implementation
print(repr((getattr(i, '_mpy', 0), tuple(i[1][:3]), getattr(i, '_machine', sys.platform), room, heap, built, lib[-1] if lib else '', parts, frozen)))
"""

# Loads the model with that hash, unless the prompt's `m` is it. As many rows as half the memory holds may stay.
LOAD = """
import gc, os, ttzo
def find(hash):
    for name in os.listdir():
        if name.endswith('.ttzo'):
            with open(name, 'rb') as f:
                head = f.read(32)
                if head[16:] == hash and f.seek(0, 2) == int.from_bytes(head[8:12], 'little'):
                    return name
    raise OSError('no bundle file of that model')
def load(hash):
    name = find(hash)
    for part in (2, 4, 0):
        gc.collect()
        try:
            return ttzo.load(name, gc.mem_free() // part if part else 0)
        except MemoryError:
            if not part: raise
import _ttzo
if not _ttzo.parts() & 512: raise ImportError('_ttzo was built without the link')
hash = %r
try:
    held = m.hash == hash
except (NameError, AttributeError):
    held = False
if not held:
    m = None
    m = load(hash)
"""


class MicroPythonError(TtzoError):
    """A MicroPython board that refuses, or has no prompt."""

    exit_code = ExitCode.device


@dataclass(frozen=True)
class Facts:
    """What a board says of itself. `free_bytes` of its file system, None where it does not say; `library` is the
    folder for modules, "" where there is only one."""

    mpy: int
    version: tuple[int, ...]
    machine: str
    free_bytes: int | None
    heap_bytes: int
    built_in: bool
    library: str
    parts: int  # of the runtime that is there, a sum of Part; 0 without one
    frozen: bool = False  # the Python part too is built in, and no file goes before it

    @property
    def architecture(self) -> str:
        """That of the native modules which the board loads."""
        family = ARCHITECTURES.get(self.mpy >> 10 & 15, "none")
        return LOADS.get(family, family)

    @property
    def mpy_version(self) -> tuple[int, int]:
        return self.mpy & 0xFF, self.mpy >> 8 & 3


def _transport(stream: serial.Serial):
    """mpremote's protocol over a port that is open."""
    try:
        from mpremote.transport_serial import SerialTransport
    except ImportError as error:
        raise MicroPythonError("mpremote, which talks to MicroPython boards, is not installed", PIP) from error
    transport = SerialTransport.__new__(SerialTransport)
    transport.serial, transport.device_name = stream, stream.port
    transport.in_raw_repl = transport.mounted = transport.is_pty = False
    transport.use_raw_paste = True
    return transport


class MicroPythonBoard:
    """A board whose prompt is ours until `close()`. Its programs are interrupted, its memory and files stay.

    Raises `LinkError` for a missing port, `MicroPythonError` for one without a prompt.
    """

    def __init__(self, port: str, baud: int = 115200):
        self.port = port
        self._stream = open_port(port, baud)
        try:
            self._transport = _transport(self._stream)
            self._enter()
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._transport.exit_raw_repl()
        self._stream.close()

    def __enter__(self) -> "MicroPythonBoard":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enter(self) -> None:
        """To the prompt; a board that serves the link (its host may have died) is asked to leave first."""
        for attempt in range(3):
            if attempt:
                self._ask_to_leave()
            if self._try_to_enter():
                self._stream.timeout = ANSWER_S
                return
        raise MicroPythonError(
            f"{self.port} shows no MicroPython prompt",
            "check that this is the board's port and that MicroPython runs on it; then reset the board and try again",
        )

    def _try_to_enter(self) -> bool:
        from mpremote.transport import TransportError

        self._stream.timeout = ENTER_S
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self._transport.enter_raw_repl(soft_reset=False, timeout_overall=ENTER_S)
            return self._is_ours()
        except (TransportError, struct.error):
            return False
        except OSError as error:
            raise LinkError(f"the connection to {self.port} broke off: {error}", "connect the board again") from error

    def _is_ours(self) -> bool:
        """Whether the prompt answers to us: what a broken-off conversation left on the line may look like answers."""
        word = f"{random.getrandbits(32):08x}"
        time.sleep(SETTLE_S)
        self._stream.reset_input_buffer()
        self._stream.write(b"\x03\x01")  # empties the board's line, and shows the prompt again
        self._transport.read_until(1, b"raw REPL; CTRL-B to exit\r\n", timeout_overall=ENTER_S)
        return self._transport.exec_raw(f"print('{word}')", timeout=ENTER_S)[0].strip() == word.encode()

    def _ask_to_leave(self) -> None:
        for sequence, (name, payload) in enumerate((("cancel", b""), ("hello", hello(1)), ("leave", b"")), 1):
            self._stream.write(b"\0" + encode(Frame(sequence, MESSAGE[name], payload)))
            time.sleep(LEAVE_S / 4)

    def run(self, code: str, timeout: float = 60.0) -> str:
        """Runs code on the board; what it printed. Raises `MicroPythonError` with the last line of its traceback."""
        from mpremote.transport import TransportError

        try:
            printed, complaint = self._transport.exec_raw(code, timeout=timeout)
        except (TransportError, OSError, struct.error) as error:  # mpremote unpacks answers that were cut short
            raise MicroPythonError(
                f"{self.port} has stopped answering ({error})", "connect the board again, and repeat the command"
            ) from error
        if complaint:
            lines = complaint.decode(errors="replace").strip().splitlines()
            raise MicroPythonError(f"the board says: {lines[-1] if lines else 'nothing'}", _hint(lines[-1:]))
        return printed.decode(errors="replace")

    def reset(self) -> None:
        """A soft reset: files stay, memory is empty and whole again. boot.py runs, main.py does not."""
        from mpremote.transport import TransportError

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self._transport.enter_raw_repl(soft_reset=True)
        except (TransportError, OSError) as error:
            raise MicroPythonError(
                f"{self.port} has not come back from a reset ({error})", "reset the board"
            ) from error

    def facts(self) -> Facts:
        return Facts(*ast.literal_eval(self.run(FACTS)))

    # ---- files

    def write_file(self, path: str, content: bytes, on_progress: OnProgress = lambda done, total: None) -> None:
        # LittleFS bears no second handle: a deploy that was cut off has left its own open
        self.run(f"try: f.close()\nexcept (NameError, AttributeError, OSError): pass\nf=open({path!r},'wb')\nw=f.write")
        try:
            for at in range(0, len(content), PIECE_BYTES):
                piece = content[at : at + PIECE_BYTES]
                if int(self.run(f"print(w({piece!r}))")) != len(piece):
                    raise MicroPythonError("the board says: OSError: 28", _hint(["ENOSPC"]))
                on_progress(at + len(piece), len(content))
        finally:
            self.run("f.close()\ndel f,w")

    def checksum(self, path: str) -> int | None:
        """CRC-32 of a file on the board, None when it is not there."""
        code = f"""
import binascii
def crc(path):
    c = 0
    try:
        f = open(path, 'rb')
    except OSError:
        return None
    with f:
        while True:
            b = f.read(256)
            if not b: return c & 0xffffffff
            c = binascii.crc32(b, c)
print(crc({path!r}))"""
        return ast.literal_eval(self.run(code))

    # ---- the link

    def serve(self, model_hash: bytes) -> serial.Serial:
        """Has the board load that model and serve the link; the port, for a `Link`. `leave` ends it."""
        from mpremote.transport import TransportError

        try:
            self.run(LOAD % model_hash)
        except MicroPythonError as error:
            if "MemoryError" not in str(error):
                raise
            self.reset()  # much was free, but in pieces
            self.run(LOAD % model_hash)
        try:
            self._transport.exec_raw_no_follow("m.serve()")
        except (TransportError, OSError, struct.error) as error:
            raise MicroPythonError(f"{self.port} has stopped answering ({error})", "reset the board") from error
        return self._stream


def _hint(lines: list[str]) -> str:
    text = "".join(lines)
    if "without the link" in text:
        return "train at the prompt; if the heap is large enough, build a module with the link: `ttzo module`"
    if "no module named" in text.lower() or "ImportError" in text:
        return "put the module onto the board: `ttzo deploy DIR --device PORT`"
    if "no bundle file" in text:
        return "put this model onto the board: `ttzo deploy DIR --device PORT`"
    if "ENOSPC" in text or text.endswith("OSError: 28"):
        return "the board's file system is full: remove files, `mpremote fs rm NAME`"
    if "MemoryError" in text:
        return "reset the board, or export with a smaller batch or smaller ranks"
    return "reset the board and try again"
