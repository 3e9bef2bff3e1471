# SPDX-License-Identifier: MIT
"""Who uses whom: includes and symbols of C files, imports of Python modules, circles among them, and the order of rooms
that docs/architecture.md states."""

import ast
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

Graph = Mapping[str, set[str]]  # each file's path, with the paths of the files that it uses

PACKAGES = ("boards", "device_runtime", "exporter", "host_tools")
FRONT = "host_tools/front"  # installed as `ttzo` itself
OTHER_PYTHON = "device_runtime/ports/micropython"  # runs on boards, where it has packages of its own


# ---- Python ----------------------------------------------------------------------------------------------------------


def python_files(root: Path) -> list[Path]:
    files = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    return sorted(path for path in files if not path.relative_to(root).as_posix().startswith(OTHER_PYTHON))


def python_graph(root: Path) -> Graph:
    """Imports at any depth count, inside functions too, except those for type checkers alone."""
    modules = {module_name(path.relative_to(root)): path.relative_to(root).as_posix() for path in python_files(root)}
    return {path: {modules[name] for name in imported(root / path, modules)} - {path} for path in modules.values()}


def module_name(path: Path) -> str:
    """exporter/plan/plan.py -> ttzo.exporter.plan.plan"""
    parts = path.with_suffix("").parts
    if path.as_posix().startswith(FRONT):
        parts = path.relative_to(FRONT).with_suffix("").parts
    return ".".join(["ttzo", *(part for part in parts if part != "__init__")])


def imported(path: Path, modules: Mapping[str, str]) -> Iterator[str]:
    for node in _executed(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from [each for each in (name, node.module) if each in modules][:1]


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that run, without the bodies of `if TYPE_CHECKING:`."""
    yield node
    for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    for child in node.orelse if for_types else ast.iter_child_nodes(node):
        yield from _executed(child)


# ---- C ---------------------------------------------------------------------------------------------------------------


def c_graph(runtime: Path, compiler: str | None = None) -> Graph:
    """Of the files below `runtime`, a .c and a .h of one name being one file: what each includes and, with a compiler,
    whose functions its object refers to (ports are only read)."""
    files = sorted(path for path in runtime.rglob("*.[ch]"))
    graph: dict[str, set[str]] = {one_file(path, runtime): set() for path in files}
    for path in files:
        for name in re.findall(r'^#include "(.*?)"', path.read_text(encoding="utf-8"), re.MULTILINE):
            used = next((p for p in (path.parent / name, runtime / name) if p.is_file()), None)
            if used:
                graph[one_file(path, runtime)].add(one_file(used, runtime))
    if compiler:
        for user, used in called(runtime, compiler):
            graph[user].add(used)
    return {path: used - {path} for path, used in graph.items()}


def one_file(path: Path, runtime: Path) -> str:
    """train/train.c and train/train.h -> device_runtime/train/train; ttzo.h, which has no .c, keeps its ending."""
    relative = Path(runtime.name) / path.relative_to(runtime)
    return (relative if path.parent == runtime else relative.with_suffix("")).as_posix()


def called(runtime: Path, compiler: str) -> list[tuple[str, str]]:
    """(user, used) for every symbol that an object of a room takes from another one."""
    sources = sorted(runtime.glob("*/*.c"))
    with ThreadPoolExecutor(2) as pool:
        symbols = list(pool.map(lambda source: _symbols(source, runtime, compiler), sources))
    home = {
        name: one_file(source, runtime)
        for source, (defined, _) in zip(sources, symbols, strict=True)
        for name in defined
    }
    return [
        (one_file(source, runtime), home[name])
        for source, (_, wanted) in zip(sources, symbols, strict=True)
        for name in wanted
        if name in home
    ]


def _symbols(source: Path, runtime: Path, compiler: str) -> tuple[set[str], set[str]]:
    """The global symbols that the object of a source defines, and those that it leaves undefined."""
    with tempfile.NamedTemporaryFile(suffix=".o") as made:
        command = [compiler, "-std=c99", "-O0", f"-I{runtime}", "-c", str(source), "-o", made.name]
        subprocess.run(command, check=True)
        listed = subprocess.run(["nm", "-P", "-g", made.name], check=True, capture_output=True, text=True).stdout
    kinds = [line.split()[:2] for line in listed.splitlines()]
    return {name for name, kind in kinds if kind != "U"}, {name for name, kind in kinds if kind == "U"}


# ---- circles and rooms -----------------------------------------------------------------------------------------------


def circle(graph: Graph) -> list[str]:
    """The files of one circle in their order, each using the next and the last one the first; [] where there is none."""
    done: set[str] = set()

    def search(path: list[str]) -> list[str]:
        for used in sorted(graph.get(path[-1], ())):
            if used in path:
                return path[path.index(used) :]
            if used not in done and (found := search([*path, used])):
                return found
        done.add(path[-1])
        return []

    return next((found for start in sorted(graph) if start not in done and (found := search([start]))), [])


@dataclass(frozen=True)
class Room:
    path: str  # a folder, or a file; a trailing slash takes in the folders below it
    level: int  # rooms of one level stand side by side and do not use each other


def rooms(document: str, heading: str) -> list[Room]:
    """The table below a heading, from the bottom up: rows "| `path` | ...", or "| `path`, beside ... | ..."."""
    table = document.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    found: list[Room] = []
    for path, beside in re.findall(r"^\| `([^`]+)`(, beside [^|]*)? \|", table, re.MULTILINE):
        found.append(Room(path, found[-1].level if beside else len(found)))
    return found


def room_of(path: str, listed: list[Room]) -> Room | None:
    folder = path.rsplit("/", 1)[0]
    for room in listed:
        if room.path in (path, folder) or room.path.endswith("/") and path.startswith(room.path):
            return room
    return None


def upward(graph: Graph, listed: list[Room]) -> list[str]:
    """What breaks the order, as "user -> used", and files that are in no room although they use another or are used."""
    linked = {user for user, uses in graph.items() if uses}.union(*graph.values())
    wrong = [f"{path} is in no room" for path in linked if room_of(path, listed) is None]
    for user, uses in graph.items():
        for used in uses:
            above, below = room_of(user, listed), room_of(used, listed)
            if above and below and above != below and above.level <= below.level:
                wrong.append(f"{user} -> {used}")
    return sorted(wrong)


def floors(graph: Graph) -> int:
    """Files of the longest chain of uses in a graph without circles."""
    heights: dict[str, int] = {}

    def height(path: str) -> int:
        if path not in heights:
            heights[path] = 1 + max((height(used) for used in graph.get(path, ())), default=0)
        return heights[path]

    return max(map(height, graph))
