# SPDX-License-Identifier: MIT
"""The Python part and the serving loop in MicroPython's WebAssembly build, which runs no native code: the runtime's place
is taken by a few lines of Python that answer with what they were sent.

    MICROPYTHON_WASM=node_modules/@micropython/micropython-webassembly-pyscript
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ttzo.host_tools.micropython.native_module import PORT, PYTHON

# _ttzo: the memory is 32 numbers; poll() sends back all that has arrived, last byte first, and leaves
# at b"bye".
STAND_IN = """
import struct, binascii
OUTBOX = 64
heard, line = bytearray(), None
def size(data): return len(data)
def kind(data): return ord("B")
def crc32(data, crc): return binascii.crc32(data, crc)
def need(head): return 1024
def open(memory, bundle):
    if binascii.crc32(memoryview(bundle)[:64]) != struct.unpack_from("<I", bundle, 64)[0]:
        struct.pack_into("<I", memory, 0, 4)
        return 5
    facts = [0] * 14
    facts[:8] = 1, 0, 4, 3, 2, 0, 3, 5
    facts[12] = 4
    struct.pack_into("<14I", memory, 36, *facts)
    return 0
def lend(memory, bundle): return 0
def line_bytes(): return 320
def listen(memory, buffer, name):
    global line
    line = buffer
    return 0
def hang_up(memory): return 0
def poll(memory, receive, send):
    while True:
        n = receive(64)
        if not n: break
        part = line[:n]
        heard.extend(part)
        line[OUTBOX : OUTBOX + n] = bytes(reversed(part))
        send(n)
    if heard.endswith(b"bye"):
        struct.pack_into("<I", memory, 32, 1)
    return 0
"""
SESSION = """
import io, struct, _ttzo, ttzo, binascii

class Line(io.IOBase):
    def __init__(self, arriving): self.arriving, self.sent = bytearray(arriving), bytearray()
    def ioctl(self, request, argument): return (1 if self.arriving else 0) if request == 3 else 0
    def readinto(self, buffer):
        n = min(len(buffer), len(self.arriving))
        buffer[:n] = self.arriving[:n]
        self.arriving = self.arriving[n:]
        return n
    def write(self, data):
        part = bytes(data)[:7]      # a stream may take less than it is given
        self.sent.extend(part)
        return len(part)

bundle = bytearray(68)
bundle[:4] = b"TTZO"
struct.pack_into("<I", bundle, 8, len(bundle))
struct.pack_into("<I", bundle, 64, binascii.crc32(bundle[:64]))
with open("a.ttzo", "wb") as file: file.write(bundle)
line = Line(bytes(range(256)) + b"bye")
ttzo.serve(line)
assert _ttzo.heard == bytes(range(256)) + b"bye", _ttzo.heard
assert len(line.sent) == 259 and sorted(line.sent[:192]) == list(range(192))
m = ttzo.load("a.ttzo")
assert (m.n_inputs, m.n_outputs, m.batch) == (3, 2, 4)
for wrong, kind in ((lambda: m.predict(b"ab"), ValueError), (lambda: m.train(b"abcd"), ValueError), (lambda: ttzo.load("no"), OSError)):
    try: wrong()
    except kind: pass
    else: raise AssertionError(kind)
with open("a.ttzo", "r+b") as file:
    file.seek(20); file.write(b"x")
try: ttzo.load("a.ttzo")
except ValueError as error: print(error)
"""
HARNESS = """
import {{loadMicroPython}} from {package};
import {{readFileSync}} from "node:fs";
const mp = await loadMicroPython({{stdout: (line) => console.log(line), linebuffer: true}});
for (const name of ["ttzo.py", "_ttzo_model.py", "_ttzo_serve.py", "_ttzo_files.py", "_ttzo_save.py", "_ttzo_train.py", "_ttzo_learn.py", "_ttzo_load.py", "_ttzo_refusals.py", "_ttzo_evaluate.py", "_ttzo_texts.py", "_ttzo.py"]) mp.FS.writeFile("/" + name, readFileSync(name));
mp.runPython(readFileSync("session.py", "utf8"));
"""


def test_the_serving_loop_passes_every_byte_in_webassembly(tmp_path):
    package = os.environ.get("MICROPYTHON_WASM")
    if not package or not shutil.which("node"):
        pytest.skip("MICROPYTHON_WASM names no folder of MicroPython's WebAssembly build, or node is not installed")
    module = str(Path(package).resolve() / "micropython.mjs")
    (tmp_path / "run.mjs").write_text(HARNESS.format(package=repr(module)))
    (tmp_path / "_ttzo.py").write_text(STAND_IN)
    (tmp_path / "session.py").write_text("import sys\nsys.path.insert(0, '/')\n" + SESSION)
    for name in PYTHON:
        shutil.copy(PORT / f"{name}.py", tmp_path)
    done = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "the bundle is damaged or not a ttzo bundle (check 4)", done.stdout + done.stderr
