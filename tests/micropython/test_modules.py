# SPDX-License-Identifier: MIT
"""Modules that are built already: which is taken for a model, from a folder and from an address, and what is refused."""

import functools
import http.server
import json
import os
import threading

import pytest
from bundles import small_plan, wave_plan, write_bundle
from click.testing import CliRunner
from interpreters import Interpreter

from ttzo.device_runtime.contract import Part
from ttzo.exporter.plan.parts import SMALL, parts_of
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.micropython import modules as module_store
from ttzo.host_tools.micropython.deploy import deploy
from ttzo.host_tools.micropython.modules import KITS, Modules, smallest, write_modules
from ttzo.host_tools.micropython.native_module import FailedBuild, ModuleError, NoCompiler

HEADS = {"armv6m": 4, "armv7emsp": 7}  # numbers of architectures in the head of an .mpy file


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index whose native parts are heads of .mpy files and nothing more: larger, the more parts they have; small
    parts count little."""

    def build(architecture, mpy_dir, parts):
        if architecture not in HEADS:
            raise NoCompiler(f"the compiler for {architecture} is not installed", "install it")
        if architecture == "armv6m" and parts == KITS["graphs"]:
            raise FailedBuild("make failed: jumps larger than 128KiB are not supported", "see the message")
        return bytes([ord("M"), 6, HEADS[architecture] << 2 | 3, 31]) + bytes(
            8 * len(parts - SMALL) + len(parts & SMALL)
        )

    monkeypatch.setattr(module_store, "build_native", build)
    monkeypatch.setattr(module_store, "python_files", lambda: {"ttzo.mpy": b"M\x06\x00\x1f"})
    left_out = write_modules(tmp_path / "modules", "tree", ("armv6m", "x64", "armv7emsp"))
    assert list(left_out) == ["ttzo-armv6m-graphs", "x64"]
    return tmp_path / "modules"


def test_the_smallest_that_has_the_parts_is_taken(index):
    modules = Modules(index)
    assert {package.architecture for package in modules.packages} == set(HEADS)
    assert smallest(modules, "armv7emsp", frozenset({Part.cores})).name == "ttzo-armv7emsp-prompt"
    assert smallest(modules, "armv7emsp", frozenset({Part.cores, Part.link})).name == "ttzo-armv7emsp-cores"
    assert smallest(modules, "armv6m", parts_of(wave_plan()) | {Part.link}).name == "ttzo-armv6m-equations"
    assert smallest(modules, "armv6m", frozenset({Part.identification})).name == "ttzo-armv6m-all"
    with pytest.raises(ModuleError, match="no module for x64, only for armv6m, armv7emsp"):
        smallest(modules, "x64", frozenset())
    with pytest.raises(ModuleError, match="has part key, which"):
        smallest(modules, "armv6m", frozenset({Part.key}))
    assert smallest(modules, "armv6m", KITS["graphs"]).name == "ttzo-armv6m-all"  # graphs could not be built


def test_the_largest_kit_has_what_every_other_has():
    assert all(KITS["all"] >= parts for parts in KITS.values())
    assert frozenset(Part) - KITS["all"] == {Part.sparse, Part.storage, Part.key}


def test_mip_reads_the_index(index):
    """The layout that mip asks for: a package's page names files by eight digits of their hash."""
    page = json.loads((index / "package" / "6" / "ttzo-armv6m-all" / "latest.json").read_text())
    assert page["v"] == 1
    for name, short in page["hashes"]:
        assert (index / "file" / short[:2] / short).read_bytes()[:1] == b"M", name


def test_an_address_serves_the_same_and_damage_is_found(index):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=index)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there, here = Modules(f"http://127.0.0.1:{server.server_port}/"), Modules(index)
        assert there.packages == here.packages
        package = there.packages[0]
        assert there.files(package) == here.files(package)
        digest = package.sha256["_ttzo.mpy"]
        path = index / "file" / digest[:2] / digest[:8]
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(ModuleError, match="_ttzo.mpy of ttzo-armv6m-prompt in http.* is damaged"):
            there.files(package)
        path.unlink()
        with pytest.raises(ModuleError, match="cannot be read"):
            there.files(package)
        server.shutdown()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"packages": [1]}', '{"packages": [{"name": "x"}]}'])
def test_what_is_no_index_is_a_sentence(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(ModuleError, match="holds no index"):
        Modules(tmp_path)


def test_a_module_is_copied_from_an_index_with_its_package(index, tmp_path):
    bundle = write_bundle(tmp_path / "small", small_plan())
    words = ["module", "armv6m", "-o", str(tmp_path / "out"), "--module", str(index), "--bundle", str(bundle)]
    done = CliRunner().invoke(main, [*words, "--json"], env={"MPY_DIR": ""})
    assert done.exit_code == 0, done.output
    package = json.loads((tmp_path / "out" / "package.json").read_text())
    assert {part.name for part in parts_of(small_plan())} <= set(package["parts"])
    assert (tmp_path / "out" / "_ttzo.mpy").read_bytes()[:2] == b"M\x06"


@pytest.mark.parametrize("words", [("module", "armv6m"), ("module", "every")])
def test_without_modules_and_tree_it_is_a_sentence(tmp_path, monkeypatch, words):
    monkeypatch.setattr("ttzo.host_tools.micropython.modules.INSTALLED", tmp_path)
    done = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "out"), "--json"], env={"MPY_DIR": ""})
    said = json.loads(done.stdout)
    assert done.exit_code and not said["ok"] and "MPY_DIR" in said["next"] and not (tmp_path / "out").exists()


@pytest.mark.skipif(not os.environ.get("MPY_DIR"), reason="MPY_DIR names no MicroPython source tree")
def test_a_board_is_deployed_to_from_modules_that_were_built_before(tmp_path, monkeypatch):
    monkeypatch.setattr(module_store, "KITS", {"chains": KITS["chains"]})
    assert write_modules(tmp_path / "modules", os.environ["MPY_DIR"], ("x64",)) == {}
    bare = Interpreter(tmp_path / "bare", "native")
    for path in bare.folder.iterdir():
        if path.suffix == ".mpy" or path.name.startswith(("ttzo", "_ttzo")):
            path.unlink()
    monkeypatch.delenv("MPY_DIR")
    with bare.prompt() as port:
        done = deploy(write_bundle(tmp_path / "small", small_plan()), port, module=tmp_path / "modules")
    assert done.module.startswith("ttzo-x64-chains ") and done.tested_steps == 1
