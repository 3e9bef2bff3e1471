# SPDX-License-Identifier: MIT
"""The native module for each architecture whose compiler is here, and how `mip` installs it."""

import dataclasses
import functools
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from bundles import small_plan, wave_plan
from click.testing import CliRunner
from interpreters import built_module, interpreter
from kept_objects import compile_all

from ttzo.device_runtime.contract import Arithmetic, Derivative, Part, Region
from ttzo.exporter.export import export
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.firmware.build import RUNTIME
from ttzo.host_tools.micropython.native_module import (
    BUILT,
    PORT,
    PYTHON,
    ModuleError,
    architecture_of,
    build_library,
    build_native,
    compile_python,
    parts_of,
    parts_of_package,
    write_package,
)

needs_tree = pytest.mark.skipif(not os.environ.get("MPY_DIR"), reason="MPY_DIR names no MicroPython source tree")
LARGEST = 40 << 10  # bytes of _ttzo.mpy for armv7emsp
OF_MORE = 43 << 10  # with split layers, or with the jets of single parameters: 3 and 7 KB more code that both need


@needs_tree
@pytest.mark.parametrize("architecture", BUILT)
def test_the_module_builds_for(architecture):
    try:
        module = built_module(architecture)
    except ModuleError as error:
        assert "is not installed" in str(error)
        pytest.skip(str(error))
    assert architecture_of(module) == architecture


@needs_tree
@pytest.mark.parametrize(
    ("parts", "largest"),
    [
        pytest.param({Part.cores}, LARGEST, id="digits"),
        pytest.param({Part.cores, Part.split}, OF_MORE, id="mnist"),
        pytest.param({Part.equations}, LARGEST, id="least squares"),
        pytest.param({Part.equations, Part.coordinates}, OF_MORE, id="least squares in coordinates"),
        pytest.param({Part.equations, Part.evaluations}, LARGEST, id="equations"),
    ],
)
def test_the_module_that_a_model_needs_is_small_for_armv7emsp(parts, largest):
    """No model needs them all: an equation's derivatives walk the layers core by core."""
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("arm-none-eabi-gcc is not installed")
    assert len(built_module("armv7emsp", frozenset(parts | {Part.link}))) <= largest


def sources_of(parts) -> list[Path]:
    """The sources that parts.mk chooses for a module with those parts."""
    words = ["make", "-s", "-f", str(PORT / "parts.mk"), f"HERE={PORT}/", "--eval=told: ; @echo $(SRC)", "told"]
    names = " ".join(part.name for part in parts)
    told = subprocess.run([*words, f"PARTS={names}"], capture_output=True, text=True, check=True).stdout.split()
    folders = (PORT / "ttzo", *sorted(RUNTIME.iterdir()))
    return [next(folder / name for folder in folders if (folder / name).exists()) for name in told]


def test_a_part_with_a_folder_is_left_out_with_it():
    folders = {Part.equations, Part.cores, Part.link, Part.operations, Part.identification, Part.storage, Part.key}
    assert {path.parent.name for path in sources_of(Part)} >= {part.name for part in folders}
    for part in Part:
        kept = {path.parent.name for path in sources_of(set(Part) - {part})}
        assert (part.name not in kept) == (part in folders or not (RUNTIME / part.name).is_dir())
        assert {"model", "number", "network", "train", "ttzo"} <= kept


# Parts that decide which functions there are; the others only choose between branches inside functions.
CHOSEN = (Part.equations, Part.cores, Part.split, Part.gathered, Part.link, Part.sparse)
OTHERS = tuple(part for part in Part if part not in CHOSEN)
NUMBERS = (0, 1, 2, len(CHOSEN) - 1, len(CHOSEN))  # of them together: none, each, pairs, all but one, all
SUBSETS = [
    *(frozenset(s) | frozenset(OTHERS) for n in NUMBERS for s in itertools.combinations(CHOSEN, n)),
    *(frozenset(Part) - {part} for part in OTHERS),
    frozenset(),
]


@pytest.mark.parametrize("parts", SUBSETS, ids=lambda parts: "+".join(part.name for part in sorted(parts)) or "none")
def test_a_module_with_some_parts_has_all_that_they_ask_for(tmp_path, parts):
    """Every function of the sources that parts.mk chooses is defined: what a native module's linker will look for."""
    sources = [path.resolve() for path in sources_of(parts) if path.name != "modttzo.c"]
    flags = [
        "-std=c99",
        "-fPIC",
        f"-I{RUNTIME}",
        "-Wall",
        "-Wextra",
        "-Wundef",
        "-Werror",
        f"-DTTZO_PARTS={sum(parts)}u",
    ]
    objects = compile_all(tmp_path, "cc", sources, flags)
    words = ["cc", *objects, "-shared", "-Wl,--no-undefined", "-lm", "-o", str(tmp_path / "made.so")]
    subprocess.run(words, check=True)


def test_a_model_names_the_parts_that_it_needs(tmp_path):
    assert parts_of(small_plan()) == {Part.evaluations, Part.curves, Part.rules}
    assert parts_of(export("digits", tmp_path)) == {Part.cores}
    assert parts_of(wave_plan()) == {Part.equations, Part.evaluations}
    wave = wave_plan()
    precise = dataclasses.replace(wave, pde=dataclasses.replace(wave.pde, derivative=Derivative.compensated_jet))
    assert parts_of(precise) == {Part.equations, Part.evaluations, Part.compensated}
    for name, (options, parts) in KINDS.items():
        assert parts_of(export("digits", tmp_path / name, **options)) == parts


# Ways to export digits, and the parts that each needs.
KINDS = {
    "cge": ({}, {Part.cores}),
    "node_cge": ({"estimator": "node_cge"}, {Part.cores, Part.blocks}),
    "chain_differences": (
        {"estimator": "chain_differences"},
        {Part.cores, Part.blocks, Part.chain},
    ),
    "block_rge": ({"estimator": "block_rge"}, {Part.cores, Part.blocks}),
    "int16": ({"cache": "int16"}, {Part.cores, Part.narrow}),
    "tensor": ({"format": "tensor"}, {Part.cores, Part.tensors}),
    "rge": ({"estimator": "rge"}, {Part.evaluations, Part.split}),
}


@needs_tree
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_with_the_parts_of_a_model_alone_trains_it_to_the_bits_of_the_whole_runtime(tmp_path, kind):
    options, parts = KINDS[kind]
    rows = data_set.load("digits", export("digits", tmp_path, batch=4, **options)).train_rows[:20]
    (tmp_path / "some.rows").write_bytes(rows.tobytes())
    code = """
import ttzo
m = ttzo.load("model.ttzo")
m.train(open("some.rows", "rb"), steps=3)
f = open("parameters.bin", "wb"); f.write(m.params()); f.close()
"""
    with open_device("native:", tmp_path) as device:
        device.write_dataset(rows)
        for _ in range(3):
            device.step(Region.dataset)
        wanted = device.parameters().tobytes()
    assert complaint(tmp_path, code, frozenset(parts)) == ""
    assert (tmp_path / "parameters.bin").read_bytes() == wanted
    missing = max(parts)
    said = complaint(tmp_path, code, frozenset(parts - {missing}))
    assert said.endswith(f"ValueError: the device was built without a part that the model needs (part {missing})"), said


def complaint(folder, code: str, parts) -> str:
    """What the interpreter says of that code with such a module."""
    for name in PYTHON:
        shutil.copy(PORT / f"{name}.py", folder)
    (folder / "_ttzo.mpy").write_bytes(built_module("x64", parts))
    done = subprocess.run([*interpreter("native"), "-c", code], cwd=folder, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


@needs_tree
def test_a_module_without_a_part_refuses_the_models_that_need_it(tmp_path):
    digits = export("digits", tmp_path / "digits")
    for name, plan in (("small", small_plan()), ("digits", digits), ("wave", wave_plan())):
        (tmp_path / f"{name}.ttzo").write_bytes(to_bundle.write(plan))
    code = """
import ttzo, _ttzo
print(_ttzo.parts(), ttzo.load("small.ttzo").train(bytes(6 * 4), bytes(4), steps=1) > 0)
for name in ("digits", "wave"):
    try: ttzo.load(name + ".ttzo")
    except ValueError as error: print(error)
"""
    says = "the device was built without a part that the model needs (part {})"
    said = complaint(tmp_path, code, parts_of(small_plan()))
    assert said.splitlines() == [f"{sum(parts_of(small_plan()))} True", says.format(2), says.format(1)]


@needs_tree
def test_the_command_builds_for_the_models_it_is_given(tmp_path):
    (tmp_path / "wave.ttzo").write_bytes(to_bundle.write(wave_plan()))
    words = ["module", "x64", "-o", str(tmp_path / "out"), "--bundle", str(tmp_path / "wave.ttzo"), "--json"]
    done = CliRunner().invoke(main, words)
    assert json.loads(done.stdout)["parts"] == ["equations", "evaluations", "link"]
    assert parts_of_package(tmp_path / "out" / "_ttzo.mpy") == {Part.equations, Part.evaluations, Part.link}
    assert (tmp_path / "out" / "_ttzo.mpy").stat().st_size < 0.8 * len(built_module("x64"))


@needs_tree
def test_a_module_in_fused_arithmetic_is_another_one():
    assert build_native("x64", os.environ["MPY_DIR"], Arithmetic.fused) != built_module("x64")


def test_the_module_has_no_initialised_data(tmp_path):
    """What a native module cannot have: variables with a first value, and static ones."""
    library = build_library()
    said = subprocess.run(["nm", "--defined-only", str(library)], capture_output=True, text=True, check=True).stdout
    ours = [line.split() for line in said.splitlines() if " ttzo" in line]
    assert ours and not [name for _, kind, name in ours if kind in "dD"]
    for source in (*RUNTIME.glob("*/*.c"), *(PORT / "ttzo").glob("*.c")):
        assert not re.search(r"^static (?!const\b)(?!inline\b)[^(]*;", source.read_text(), re.MULTILINE), source


@needs_tree
def test_mip_installs_the_package(tmp_path):
    package, board = tmp_path / "package", tmp_path / "board"
    board.mkdir()
    package.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=package)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        write_package("x64", package, os.environ["MPY_DIR"], url=url)
        code = f"import mip; mip.install('{url}/package.json', target='.'); import ttzo, _ttzo_texts; print(_ttzo_texts.text(0))"
        done = subprocess.run([*interpreter("native"), "-c", code], cwd=board, capture_output=True, text=True)
        server.shutdown()
    assert done.stdout.endswith("no error\n"), done.stdout + done.stderr


def test_the_python_part_alone_is_for_any_architecture():
    assert architecture_of(compile_python(PORT / "ttzo.py")) == "any"


@pytest.mark.parametrize(
    ("architecture", "folder", "says"),
    [("z80", ".", "native modules are not supported for z80"), ("x64", "nowhere", "not a MicroPython source tree")],
)
def test_what_cannot_be_built_is_said(tmp_path, architecture, folder, says):
    with pytest.raises(ModuleError, match=says):
        build_native(architecture, tmp_path / folder)


def test_the_stubs_name_what_there_is():
    """ttzo.pyi and what ttzo.py imports have the same public functions and methods."""

    def names(path):
        return set(re.findall(r"^(?:    )?def ([a-z]\w*)", path.read_text(), re.MULTILINE))

    others = {"readinto", "write", "seek", "fill"}  # of streams and files
    assert names(PORT / "ttzo.pyi") - others == names(PORT / "_ttzo_model.py") - others


def test_the_package_file_lists_what_is_beside_it(tmp_path):
    if not os.environ.get("MPY_DIR"):
        pytest.skip("MPY_DIR names no MicroPython source tree")
    write_package("x64", tmp_path, os.environ["MPY_DIR"])
    package = json.loads((tmp_path / "package.json").read_text())
    assert {source for _, source in package["urls"]} == {"_ttzo.mpy", *(f"{name}.mpy" for name in PYTHON)}
