# SPDX-License-Identifier: MIT
"""The house keeps the order that docs/architecture.md states: no circles, and rooms use only rooms below them."""

import os
import re
import shlex
import shutil
import tokenize
from pathlib import Path

import pytest
from dependencies import Room, c_graph, circle, floors, python_graph, room_of, rooms, upward

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LONGEST = 500  # lines of a file
GENERATED = ("ttzo_contract.h",)


def comments_and_texts(path: Path) -> str:
    """All comments and strings of a Python file."""
    kinds = (tokenize.COMMENT, tokenize.STRING)
    with path.open("rb") as file:
        return "\n".join(token.string for token in tokenize.tokenize(file.readline) if token.type in kinds)


@pytest.fixture(scope="module")
def in_c():
    (compiler, *_) = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler) or not shutil.which("nm"):
        pytest.skip("no C compiler and nm")
    return c_graph(ROOT / "device_runtime", compiler)


@pytest.fixture(scope="module")
def in_python():
    return python_graph(ROOT)


def test_no_c_file_reaches_itself_by_includes_and_calls(in_c):
    assert circle(in_c) == []


def test_no_python_module_reaches_itself_by_imports(in_python):
    assert circle(in_python) == []


def test_c_rooms_use_only_rooms_below_them(in_c):
    assert upward(in_c, rooms(DOCUMENT, "### C")) == []


def test_python_rooms_use_only_rooms_below_them(in_python):
    assert upward(in_python, rooms(DOCUMENT, "### Python")) == []


@pytest.mark.parametrize(("heading", "graph"), [("### C", "in_c"), ("### Python", "in_python")])
def test_no_room_of_the_document_is_empty(heading, graph, request):
    listed, files = rooms(DOCUMENT, heading), request.getfixturevalue(graph)
    assert {room_of(path, listed) for path in files} - {None} == set(listed)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", DOCUMENT))))
def test_every_file_that_the_document_names_is_there(name):
    assert (ROOT / name).exists()


def test_every_c_file_that_python_names_is_there():
    folders = ("device_runtime", "exporter", "host_tools")
    there = {path.name for folder in folders for path in (ROOT / folder).rglob("*.[ch]")}
    written = {
        "aifes.h",
        "model.c",
        "model.h",
        "model_key.c",
        "peer_data.c",
        "dynruntime.h",
        "stdint.h",
        "ttzo_config.h",
        "inttypes.h",
        "stdio.h",
    }  # files of an export, and other people's
    named = {
        (path.name, name)
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"(?<![\w.])[a-z_]+\.[ch]\b", comments_and_texts(path))
    }
    assert {pair for pair in named if pair[1] not in there | written} == set()


def test_no_file_is_longer_than_a_reader_holds():
    folders = ("device_runtime", "exporter", "host_tools", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".c", ".h")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {name: length for name, length in lengths.items() if length > LONGEST and Path(name).name not in GENERATED}
    assert long == {}


# ---- the tests can fail ----------------------------------------------------------------------------------------------


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_circle_is_found_whole_and_a_chain_has_none():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert floors({"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}) == 3


def test_imports_inside_functions_count_and_those_for_types_do_not(tmp_path):
    root = write(
        tmp_path,
        {
            "exporter/one.py": "def f():\n    from ttzo.exporter import two\n",
            "exporter/two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ttzo.exporter.one import f\n",
            "exporter/three.py": "from ttzo.exporter.one import f\nimport ttzo.host_tools.four\n",
            "host_tools/four.py": "import ttzo\n",
            "host_tools/front/__init__.py": "from ttzo.host_tools.four import f\n",
        },
    )
    assert python_graph(root) == {
        "exporter/one.py": {"exporter/two.py"},
        "exporter/two.py": set(),
        "exporter/three.py": {"exporter/one.py", "host_tools/four.py"},
        "host_tools/four.py": {"host_tools/front/__init__.py"},
        "host_tools/front/__init__.py": {"host_tools/four.py"},
    }


@pytest.mark.skipif(not shutil.which("cc") or not shutil.which("nm"), reason="no C compiler and nm")
def test_a_call_without_an_include_is_seen(tmp_path):
    runtime = write(
        tmp_path / "device_runtime",
        {
            "api.h": "",
            "low/one.h": "int one(void);\n",
            "low/one.c": '#include "low/one.h"\nint two(void);\nint one(void) { return two(); }\n',
            "high/two.c": '#include "low/one.h"\n#include "api.h"\nint two(void);\nint two(void) { return one(); }\n',
        },
    )
    low, high, api = (f"device_runtime/{name}" for name in ("low/one", "high/two", "api.h"))
    assert c_graph(runtime) == {low: set(), high: {low, api}, api: set()}
    assert circle(c_graph(runtime)) == []
    assert circle(c_graph(runtime, "cc")) == [high, low]


def test_a_use_upward_sideways_or_from_nowhere_is_named():
    text = "\n### C\n\n| room | holds |\n|---|---|\n| `low` | a |\n| `left` | b |\n| `right`, beside `left` | c |\n| `top/` | d |\n\n## Next\n"
    listed = rooms(text, "### C")
    assert listed == [Room("low", 0), Room("left", 1), Room("right", 1), Room("top/", 3)]
    fine = {"top/x/a": {"left/b", "top/y/c"}, "left/b": {"low/d", "left/e"}, "right/f": {"low/d"}}
    assert upward(fine, listed) == []
    assert upward({"low/d": {"left/b"}, "left/b": {"right/f"}, "cellar/g": {"low/d"}, "attic/h": set()}, listed) == [
        "cellar/g is in no room",
        "left/b -> right/f",
        "low/d -> left/b",
    ]
