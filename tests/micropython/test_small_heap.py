# SPDX-License-Identifier: MIT
"""Digits in a heap of 64 KiB, of which 64,000 bytes can be used, on an emulated Cortex-M4F.

MICROPYTHON_QEMU=firmware.elf names a MicroPython of its qemu port for mps2-an386 with that heap, whose _boot.py mounts the
LittleFS image at 0x21000000 (docs/micropython.md says how it is built).
"""

import os
import socket
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from interpreters import interpreter, source_tree

from ttzo.device_runtime.contract import Part, Region
from ttzo.exporter.export import export
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.device.micropython_board import MicroPythonBoard, MicroPythonError
from ttzo.host_tools.micropython.deploy import deploy, seeded_rows
from ttzo.host_tools.micropython.modules import KITS
from ttzo.host_tools.micropython.native_module import NATIVE, PORT, PYTHON, build_native, compile_python, write_package

SUPPORT = Path(__file__).parents[1] / "support"
IMAGE_AT = 0x21000000
LEFT = 4096  # bytes of heap that stay free for the person's program
RESIDENT = ("ttzo", "_ttzo_model")  # of the Python part
FREE = "import gc; gc.collect(); print(gc.mem_free())"
ORDERS = (
    "import ttzo",
    "import gc, os\nimport ttzo",
    "from ttzo import load\nimport ttzo",
)


def test_what_stays_in_the_heap_is_small():
    """The heap holds about twice a compiled file's bytes of Python."""
    assert sum(len(compile_python(PORT / f"{name}.py")) for name in RESIDENT) <= 3800


def test_the_native_part_for_a_small_heap_is_small():
    assert len(build_native("armv7emsp", source_tree(), parts=KITS["prompt"])) <= 34_600


@pytest.fixture(scope="module")
def firmware():
    named = os.environ.get("MICROPYTHON_QEMU")
    if not named:
        pytest.skip("MICROPYTHON_QEMU names no MicroPython for QEMU's mps2-an386")
    return named


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, firmware):
    folder = tmp_path_factory.mktemp("small") / "digits"
    export("digits", folder, cache="int16")
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory, firmware, bundle):
    """The board with module, model and a file of rows on it."""
    folder = tmp_path_factory.mktemp("board")
    write_package("armv7emsp", folder, source_tree(), parts=KITS["prompt"])
    (folder / "rows").write_bytes(seeded_rows(read_bundle(bundle)).tobytes())
    names = [NATIVE, *(f"{name}.mpy" for name in PYTHON), "rows"]
    files = [*(f"{name}={folder / name}" for name in names), f"digits.ttzo={bundle / 'model.ttzo'}"]
    image = folder / "image"
    subprocess.run([*interpreter(), str(SUPPORT / "littlefs_image.py"), str(image), *files], check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-semihosting"]
    words += ["-kernel", firmware, "-device", f"loader,file={image},addr={IMAGE_AT},force-raw=on"]
    words += ["-serial", f"tcp:127.0.0.1:{port},server=on,wait=off"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            time.sleep(2)  # until it listens
            yield f"socket://127.0.0.1:{port}"
        finally:
            process.kill()


def test_deploy_tests_the_board(url, bundle, tmp_path):
    write_package("armv7emsp", tmp_path, source_tree(), parts=KITS["prompt"])
    done = deploy(bundle, url, module=tmp_path)
    assert (done.copied, done.tested_steps) == ((), 1)  # all files are there
    with MicroPythonBoard(url) as board:
        parts = int(board.run("import _ttzo; print(_ttzo.parts())"))
        assert {part for part in Part if part & parts} == KITS["prompt"]


def test_digits_trains_where_the_native_part_was_imported_first(url):
    """Before ttzo.py could keep the heap in order."""
    with MicroPythonBoard(url) as board:
        board.reset()
        board.run("import _ttzo\nimport ttzo")
        board.run("m=ttzo.load('digits.ttzo')")
        board.run("f=open('rows','rb'); m.train(f,steps=1); f.close()", timeout=300)
        board.run("m.save('other.ttzo')")
        assert int(board.run(FREE)) >= LEFT


@pytest.mark.parametrize("order", ORDERS, ids=range(len(ORDERS)))
def test_digits_trains_saves_and_goes_on(url, bundle, order):
    with MicroPythonBoard(url) as board:

        def run(code: str) -> str:
            return board.run(code, timeout=300)

        def parameters() -> int:
            return int(run("import binascii; print(binascii.crc32(m._view(m._facts[9], 4*m.n_parameters)))"))

        board.reset()
        run(order)
        run("m=ttzo.load('digits.ttzo')")
        assert int(run(FREE)) >= LEFT
        run("f=open('rows','rb')")
        run("m.train(f,steps=2)")
        assert int(run(FREE)) >= LEFT
        assert parameters() == zlib.crc32(after_two_steps(bundle))
        if order == ORDERS[0]:  # a copy of 2,504 bytes in one piece, which is not there in all orders of work
            assert int(run("print(len(m.params()))")) == read_bundle(bundle).n_parameters
        run("m.save('run.ttzo')")
        run("m.evaluate(f); f.close()")
        assert int(run(FREE)) >= LEFT
        run("m.reset()")
        exported = read_bundle(bundle).parameters.astype("<f4").tobytes()
        assert (int(run("print(m.step)")), parameters()) == (0, zlib.crc32(exported))
        board.reset()
        run(order)
        run("m=ttzo.load('run.ttzo')")
        assert (int(run("print(m.step)")), parameters()) == (2, zlib.crc32(after_two_steps(bundle)))
        assert int(run(FREE)) >= LEFT
        for wrong, kind in (
            ("m.train(bytes(7))", "ValueError: x has 7 bytes"),
            ("m.predict('text')", "TypeError: rows are numbers, not text"),
        ):
            with pytest.raises(MicroPythonError, match=f"the board says: {kind}"):
                run(wrong)


def after_two_steps(bundle: Path) -> bytes:
    with open_device("native:", bundle) as device:
        device.reset()
        device.write_dataset(seeded_rows(read_bundle(bundle)))
        for _ in range(2):
            device.step(Region.dataset)
        return np.asarray(device.parameters(), "<f4").tobytes()
