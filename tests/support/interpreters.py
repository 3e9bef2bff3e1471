# SPDX-License-Identifier: MIT
"""Real MicroPython interpreters for the tests, and folders in which they find the module.

MICROPYTHON=/opt/mp/micropython   a unix MicroPython with ffi, 1.23 or newer (default: `micropython` on the PATH)
MICROPYTHON_TTZO=...              one that was built with the user C module and manifest.py
MPY_DIR=...                       a source tree: native modules are built and tested
"""

import os
import random
import select
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from ttzo.device_runtime.contract import Part
from ttzo.host_tools.micropython import native_module

OLDEST = (1, 23)
# The C part as a shared library, as a file in machine code, and in the firmware, with the Python part in files or there too.
FORMS = ("ffi", "native", "built in", "frozen")
IN_FIRMWARE = FORMS[2:]


def interpreter(form: str = "ffi") -> list[str]:
    """The command of the interpreter for that form of the module; skips the test where there is none."""
    if form in IN_FIRMWARE:
        named = os.environ.get("MICROPYTHON_TTZO")
        if not named:
            pytest.skip("MICROPYTHON_TTZO names no MicroPython with the user C module")
        return shlex.split(named)
    if form == "native":
        source_tree()
    command = shlex.split(os.environ.get("MICROPYTHON", "micropython"))
    reason = _lacking(tuple(command))
    if reason:
        pytest.skip(reason)
    return command


@cache
def _lacking(command: tuple[str, ...]) -> str:
    """What makes this command unfit, or ""."""
    if not shutil.which(command[0]):
        return f"there is no {command[0]}: install MicroPython's unix port, or name it in MICROPYTHON"
    probe = "import sys, ffi; print(*sys.implementation[1][:2])"
    done = subprocess.run([*command, "-c", probe], capture_output=True, text=True)
    if done.returncode:
        return f"{command[0]} has no ffi"
    version = tuple(map(int, done.stdout.split()))
    return "" if version >= OLDEST else f"{command[0]} is MicroPython {version}, older than {OLDEST}"


def install(folder: Path, form: str = "ffi") -> Path:
    """Puts that form of the module into the folder."""
    port = native_module.PORT
    folder.mkdir(parents=True, exist_ok=True)
    if form in ("native", "built in"):  # as `ttzo deploy` puts it onto a board
        for name, content in native_module.python_files().items():
            (folder / name).write_bytes(content)
    if form == "ffi":
        for name in (*native_module.PYTHON, "_ttzo"):
            shutil.copy(port / f"{name}.py", folder)
        shutil.copy(native_module.build_library(), folder)
    if form == "native":
        (folder / "_ttzo.mpy").write_bytes(built_module("x64"))
    return folder


def source_tree() -> str:
    """MPY_DIR; skips the test where it is not named."""
    if not os.environ.get("MPY_DIR"):
        pytest.skip("MPY_DIR names no MicroPython source tree")
    return os.environ["MPY_DIR"]


@cache
def built_module(architecture: str, parts: native_module.Parts = native_module.ALL_PARTS) -> bytes:
    return native_module.build_native(architecture, source_tree(), parts=parts)


class Interpreter:
    """A MicroPython whose current folder holds the module in that form."""

    def __init__(self, folder: Path, form: str):
        self.form, self.command, self.folder = form, interpreter(form), install(folder, form)

    def run(self, code: str, *, fails: bool = False, timeout: float = 600) -> str:
        """What the code prints; with `fails`, what it complains of."""
        (self.folder / "given.py").write_text(code)
        done = subprocess.run(
            [*self.command, "given.py"], cwd=self.folder, capture_output=True, text=True, timeout=timeout
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    def error(self, code: str) -> str:
        """The last line of the traceback."""
        return self.run(code, fails=True).strip().splitlines()[-1]

    @contextmanager
    def prompt(self) -> Iterator[str]:
        """A board's raw prompt in this folder, at the URL it gives; connect as often as you like."""
        shutil.copy(Path(__file__).parent / "micropython_prompt.py", self.folder)
        with socket.create_server(("127.0.0.1", 0)) as server, Board(self, server) as self.running:
            yield self.running.url


SERVE = """
import socket, ttzo
server = socket.socket()
for port in range({first}, {first} + 50):
    try:
        server.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        break
    except OSError:
        pass
server.listen(1)
m = ttzo.load("model.ttzo")
print(port)
while True:
    stream, _ = server.accept()
    m.serve(stream, {arguments})
    stream.close()
"""


def with_key_part(folder: Path, form: str) -> Interpreter:
    """An interpreter whose module in that form asks for keys."""
    made = Interpreter(folder, form)
    if form == "native":
        content = built_module("x64", native_module.ALL_PARTS | {Part.key})
        (folder / "_ttzo.mpy").write_bytes(content)
    return made


@contextmanager
def served(board: Interpreter, arguments: str) -> Iterator[str]:
    """The board's URL while it serves its model.ttzo on a loopback port with those arguments of `serve`."""
    (board.folder / "given.py").write_text(SERVE.format(first=random.randrange(20000, 30000), arguments=arguments))
    command = [*board.command, "given.py"]
    with subprocess.Popen(command, cwd=board.folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"socket://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


class Board:
    """The interpreter on a loopback port. It is started at the first connection and lives until the end, or until
    `pull_the_plug()`; a later connection finds it as the earlier one left it."""

    def __init__(self, interpreter: Interpreter, server: socket.socket):
        self._interpreter, self._server = interpreter, server
        self.url = f"socket://127.0.0.1:{server.getsockname()[1]}"

    def __enter__(self) -> "Board":
        ours, theirs = socket.socketpair()
        words = [*self._interpreter.command, "micropython_prompt.py"]
        self.process = subprocess.Popen(words, cwd=self._interpreter.folder, stdin=theirs, stdout=theirs)
        theirs.close()
        self._line = ours
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pull_the_plug()
        self._thread.join(5)

    def pull_the_plug(self) -> None:
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self.process.kill()
        self.process.wait()

    def _pump(self) -> None:
        """Carries bytes between the newest client and the interpreter; an earlier one has its say before."""
        client = None
        with suppress(OSError), self._line:
            while True:
                ready = select.select([s for s in (self._server, self._line, client) if s], [], [])[0]
                if client in ready:
                    client = self._hear(client)
                elif self._line in ready:
                    if not (data := self._line.recv(4096)):
                        break
                    with suppress(OSError):
                        if client:
                            client.sendall(data)
                else:
                    if client:
                        client.close()
                    client = self._server.accept()[0]
        if client:
            client.close()

    def _hear(self, client: socket.socket) -> socket.socket | None:
        """Passes on what the client says; the client, or None when it has hung up."""
        try:
            data = client.recv(4096)
        except OSError:  # it left without reading all: a reset
            data = b""
        if data:
            self._line.sendall(data)
            return client
        client.close()
        return None
