# SPDX-License-Identifier: MIT
"""Digits in a heap of 64 KiB, of which 64,000 bytes can be used, on an emulated Cortex-M4F.

MICROPYTHON_QEMU=firmware.elf names a MicroPython of its qemu port for mps2-an386 with that heap, whose _boot.py mounts
LittleFS at 0x21000000 (docs/micropython.md says how it is built). One emulator runs for all tests: `ttzo deploy` fills its
file system, each test resets it.
"""

import os
import socket
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from interpreters import source_tree

from ttzo.device_runtime.contract import Part, Region
from ttzo.exporter.export import export
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.device.micropython_board import MicroPythonBoard, MicroPythonError
from ttzo.host_tools.micropython.deploy import deploy, seeded_rows
from ttzo.host_tools.micropython.modules import KITS
from ttzo.host_tools.micropython.native_module import (
    NATIVE,
    PORT,
    PYTHON,
    build_native,
    compile_python,
    write_package,
)

LEFT = 8600  # bytes of heap that stay free for the person's program, a file with rows open
LEFT_BESIDE_ASYNCIO = 6500
LEFT_WHILE_LEARNING = 7900
RESIDENT = ("ttzo", "_ttzo_model")  # of the Python part
FREE = "import gc; gc.collect(); print(gc.mem_free())"
OWN = {f"own{k}.mpy": f"def answer(x):\n    return [x + {k}] * 3\n" for k in range(4)}  # a person's modules
BUILT_IN = "json, time, struct, machine, re, random, binascii"
ORDERS = {
    "ttzo alone": "import ttzo",
    "a name first": "from ttzo import load\nimport ttzo",
    "modules of the firmware first": f"import {BUILT_IN}, collections\nimport ttzo",
    "asyncio and seven others first": f"import {BUILT_IN}, asyncio\nimport ttzo",
    "asyncio first": f"import asyncio, {BUILT_IN}\nimport ttzo",
    "modules of files first": "import own0, own1\nimport own2, own3\nimport json, os, struct, time\nimport ttzo",
    "the native part first": "import _ttzo\nimport ttzo",
    "the Python part first": "import _ttzo_model\nimport ttzo",
    "both parts first": "import _ttzo, _ttzo_model, ttzo",
    "both parts first, turned": "import _ttzo_model, _ttzo, ttzo",
}
REFUSED = {  # as the forms of the module say it on a computer: test_micropython.py
    "m.predict(b'')": "ValueError: x has 0 bytes, a row of inputs has 64",
    "m.train(bytes(7))": "ValueError: x has 7 bytes, a row of inputs and target has 66",
    "m.train()": "ValueError: the model trains on rows",
    "m.predict('text')": "TypeError: rows are numbers, not text",
    "m.learn(bytes(64), bytes([250]))": "ValueError: row 0 has a class that the model does not have",
    "ttzo.load('nothing')": "OSError: ",
    "ttzo.load(b'TTZO')": "ValueError: the bundle is damaged or not a ttzo bundle (check 2)",
    "ttzo.load('digits.ttzo')": "MemoryError: ",  # a second one
}


def test_what_stays_in_the_heap_is_small():
    """The heap holds about twice a compiled file's bytes of Python."""
    assert sum(len(compile_python(PORT / f"{name}.py")) for name in RESIDENT) <= 3100


def test_the_native_part_for_a_small_heap_is_small():
    assert len(build_native("armv7emsp", source_tree(), parts=KITS["prompt"])) <= 31_200


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
def port(firmware):
    """The board's serial line; its file system is empty."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = probe.getsockname()[1]
    words = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-semihosting"]
    words += ["-kernel", firmware, "-serial", f"tcp:127.0.0.1:{number},server=on,wait=off"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            time.sleep(2)  # until it listens
            yield f"socket://127.0.0.1:{number}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, port, bundle):
    """What `ttzo deploy` did on the empty board: module, model, a batch of rows and a person's modules, over the line."""
    folder = tmp_path_factory.mktemp("modules")
    write_package("armv7emsp", folder, source_tree(), parts=KITS["prompt"])
    extra = {"rows": seeded_rows(read_bundle(bundle)).tobytes()}
    extra["sensor_loop.mpy"] = compile_python(PORT / "sensor_loop.py")
    for name, text in OWN.items():
        source = folder / f"{Path(name).stem}.py"
        source.write_text(text)
        extra[name] = compile_python(source)
    return deploy(bundle, port, module=folder, extra=extra)


@pytest.fixture
def board(port, deployed):
    with MicroPythonBoard(port) as board:
        board.reset()
        yield board


def test_deploy_fills_and_tests_an_empty_board(deployed, board):
    wanted = {NATIVE, *(f"{name}.mpy" for name in PYTHON), "digits.ttzo", "rows", "sensor_loop.mpy", *OWN}
    assert (set(deployed.copied), deployed.unchanged, deployed.tested_steps) == (wanted, (), 1)
    parts = int(board.run("import _ttzo; print(_ttzo.parts())"))
    assert {part for part in Part if part & parts} == KITS["prompt"]


@pytest.mark.parametrize("order", ORDERS)
def test_digits_trains_saves_and_gives_its_parameters(board, bundle, order):
    free = int(board.run(FREE))

    def run(code: str) -> str:
        return board.run(code, timeout=300)

    def free_is_enough() -> bool:
        return int(run(FREE)) >= (LEFT_BESIDE_ASYNCIO if "asyncio" in order else LEFT) - held

    def parameters() -> int:
        return int(run("import binascii; print(binascii.crc32(m._view(m._facts[9], 4*m.n_parameters)))"))

    def given() -> int:
        """The same, by params in pieces of a quarter."""
        run("c=0\nfor at in range(0, m.n_parameters, 157): c=binascii.crc32(m.params(at, 157), c)")
        return int(run("print(c)"))

    imports = order_of(board, order)
    held = free - int(run("import own0, own1, own2, own3\n" + FREE)) if "files" in order else 0
    if held:
        board.reset()
    exported = zlib.crc32(read_bundle(bundle).parameters.astype("<f4").tobytes())
    trained = zlib.crc32(after_two_steps(bundle))
    run(imports)
    run("m=ttzo.load('digits.ttzo')")
    assert free_is_enough()
    run("f=open('rows','rb')")
    run("m.train(f,steps=2)")
    assert parameters() == given() == trained
    run("m.save('run.ttzo')")
    run("m.evaluate(f)")
    assert free_is_enough() and given() == trained
    assert int(run("print(len(m.params()))")) == read_bundle(bundle).n_parameters
    run("f.close(); f=None")
    run("m.reset()")
    assert (int(run("print(m.step)")), given()) == (0, exported)
    board.reset()
    run(imports)
    run("m=ttzo.load('run.ttzo')\nimport binascii")
    assert (int(run("print(m.step)")), given()) == (2, trained)
    assert free_is_enough()


def order_of(board: MicroPythonBoard, name: str) -> str:
    """That order of imports; skips the test where the firmware lacks asyncio."""
    if "asyncio" in name and board.run("import os\ntry: import asyncio\nexcept ImportError: print('none')").strip():
        pytest.skip("this MicroPython was built without asyncio")
    board.reset()
    return ORDERS[name]


def test_rows_are_learnt_one_by_one(board, bundle):
    """The rows of two batches, with answers and a save in between."""
    board.run("import ttzo\nm=ttzo.load('digits.ttzo')\nf=open('rows','rb')\nr=bytearray(66)")
    learn = "f.seek(66*k%(48*66)); f.readinto(r); m.predict(r[:64]); m.learn(r[:64],r[64:])"
    board.run(f"for k in range(50): {learn}", timeout=300)
    board.run("f.close(); f=None; m.save('run.ttzo')\nprint(m.step)")
    assert int(board.run(FREE)) >= LEFT_WHILE_LEARNING
    board.run(f"f=open('rows','rb')\nfor k in range(50, 96): {learn}", timeout=300)
    crc = int(board.run("import binascii; print(binascii.crc32(m._view(m._facts[9], 4*m.n_parameters)))"))
    with open_device("native:", bundle) as device:
        device.reset()
        for _ in range(2):
            device.write_batch(seeded_rows(read_bundle(bundle)))
            device.step(Region.batch)
        assert crc == zlib.crc32(np.asarray(device.parameters(), "<f4").tobytes())


def test_a_task_trains_among_others(board, bundle):
    order_of(board, "asyncio first")
    board.run("import ttzo\nm=ttzo.load('digits.ttzo')\nimport asyncio\nf=open('rows','rb')")
    board.run("asyncio.run(m.train_async(f,steps=2)); f.close(); f=None", timeout=300)
    crc = int(board.run("import binascii; print(binascii.crc32(m._view(m._facts[9], 4*m.n_parameters)))"))
    assert crc == zlib.crc32(after_two_steps(bundle)) and int(board.run(FREE)) >= LEFT_BESIDE_ASYNCIO


def test_the_sensor_loop_learns_and_saves(board, bundle):
    board.run("""
import sensor_loop
f, r, k = open('rows', 'rb'), bytearray(66), 0
def read_row():
    global k
    f.seek(66 * k)
    f.readinto(r)
    k += 1
    return r[:64]
sensor_loop.read_row, sensor_loop.read_label, sensor_loop.say = read_row, lambda: r[64:65], lambda outputs: None
sensor_loop.PERIOD_MS, sensor_loop.MODEL = 0, 'run.ttzo'
""")
    board.run("m=sensor_loop.ttzo.load('digits.ttzo')")
    assert board.run("print(sensor_loop.run(m, 48))", timeout=300).strip() == "1"
    board.reset()
    board.run("import ttzo, binascii\nm=ttzo.load('run.ttzo')")
    with open_device("native:", bundle) as device:
        device.reset()
        device.write_batch(seeded_rows(read_bundle(bundle)))
        device.step(Region.batch)
        made = zlib.crc32(np.asarray(device.parameters(), "<f4").tobytes())
    assert board.run("print(m.step, binascii.crc32(m.params()))").split() == ["1", str(made)]


def test_errors_keep_their_kinds(board):
    board.run("import ttzo\nm=ttzo.load('digits.ttzo')")
    for wrong, says in REFUSED.items():
        with pytest.raises(MicroPythonError) as refused:
            board.run(wrong)
        assert str(refused.value).startswith(f"the board says: {says}")
    assert int(board.run("print(m.step)")) == 0 and int(board.run(FREE)) >= LEFT


def after_two_steps(bundle: Path) -> bytes:
    with open_device("native:", bundle) as device:
        device.reset()
        device.write_dataset(seeded_rows(read_bundle(bundle)))
        for _ in range(2):
            device.step(Region.dataset)
        return np.asarray(device.parameters(), "<f4").tobytes()
