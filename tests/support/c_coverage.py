# SPDX-License-Identifier: MIT
"""A pytest plugin: all C that the tests compile for this machine counts which of its lines and branches run.

    PYTHONPATH=tests/support python -m pytest -p c_coverage tests/train    then: gcovr, as `make coverage` does

Branches are those of the source: nothing is optimised, and sanitizers, which add branches of their own, are left out. The
counts lie in build/coverage. A process that is killed leaves none. A file is compiled once for each set of flags, whatever it
is linked into. What runs on emulated boards is not counted, so that tests of these are skipped.
"""

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import kept_objects

from ttzo.device_runtime import FOLDER, core_sources
from ttzo.host_tools.firmware import build

OUT = Path(__file__).parents[2] / "build" / "coverage"
FLAGS = ["--coverage", "-O0", "-fPIC"]
PARTS = "-DTTZO_PARTS"
OTHER_C = (
    "-O",
    "-fsanitize",
    "-fno-sanitize",
    PARTS,
)  # of another optimisation, branches of the compiler's own, and another text of the same lines
WRITES_COUNTS = "void __gcov_dump(void);\nvoid write_counts(void);\nvoid write_counts(void) { __gcov_dump(); }\n"
LIBRARIES: set[Path] = set()  # made for this process
WITHOUT_EFFECT = ("-W", "-I", "-shared")  # on an object of the runtime
CROSS = ("arm-none-eabi", "aarch64", "riscv", "qemu")
WITH_CROSS = shutil.which
WITHOUT_COUNTS = subprocess.run
NOT_COUNTED = build.for_this_machine


def _sources(sources: Sequence[Path], flags: Sequence[str]) -> list[Path]:
    """A build of some parts becomes one of all."""
    if any(flag.startswith(PARTS) for flag in flags):
        return [*(path for path in sources if path not in core_sources()), *core_sources()]
    return list(sources)


def for_this_machine(
    name: str,
    sources: list[Path],
    headers: list[Path],
    flags: list[str],
    link_flags: list[str],
    compiler: Sequence[str] = (),
) -> Path:
    """The twin of build.for_this_machine. Libraries of some parts are made to see what they lack: they are left as they are,
    and so is what another compiler makes."""
    is_library_of_parts = name.endswith(".so") and any(flag.startswith(PARTS) for flag in flags)
    if compiler or is_library_of_parts or "-nostdlib" in flags:  # counting needs the C library
        return NOT_COUNTED(name, sources, headers, flags, link_flags, compiler)
    sources, flags = _sources(sources, flags), [flag for flag in flags if not flag.startswith(OTHER_C)]
    command = [*build._host_compiler(), *flags, *FLAGS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda path: str(_object(path, command)), sources))
    if "-shared" not in flags:
        return _made(name, [*command, *objects, *link_flags])
    writer = _made("write_counts.o", [*build._host_compiler(), "-fPIC", "-c", "w.c"], {"w.c": WRITES_COUNTS})
    library = _made(name, [*command, *objects, str(writer), *link_flags])
    LIBRARIES.add(library)
    return library


def _object(path: Path, compiler: list[str]) -> Path:
    """A file of the runtime is compiled where it stands, without flags that leave its object as it is, so that libraries and
    programs share it; of one that a test has written, a copy that stays."""
    if path.resolve().is_relative_to(FOLDER.resolve()):
        own = {word for word in compiler[1:] if not word.startswith(WITHOUT_EFFECT)}
        return _made(f"{path.stem}.o", [compiler[0], *sorted(own), f"-I{FOLDER}", "-c", str(path.resolve())])
    text = path.read_text(encoding="utf-8")
    return _made(f"{path.stem}.o", [*compiler, "-c", path.name, f"-I{path.parent}"], {path.name: text})


def _made(name: str, command: list[str], files: Mapping[str, str] = MappingProxyType({})) -> Path:
    """What the command makes of those files, once, in a folder that keeps its counts."""
    folder = OUT / hashlib.sha256("\0".join([name, *command, *files.values()]).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            for file, text in files.items():
                (folder / file).write_text(text, encoding="utf-8")
            WITHOUT_COUNTS([*command, "-o", name], cwd=folder, check=True)
    return folder / name


def run(command: Any, *arguments: Any, **options: Any) -> Any:
    """The twin of subprocess.run: what `cc ... -o PROGRAM` makes of the core counts too."""
    words = [str(word) for word in command] if isinstance(command, list | tuple) else []
    words = " ".join(words).replace("-I ", "-I").split(" ")  # no file of these has a space in its name
    if (
        words[:1] != ["cc"]
        or "-shared" in words
        or "-o" not in words
        or not any(word.endswith("crc32.c") for word in words)
    ):
        return WITHOUT_COUNTS(command, *arguments, **options)
    program = Path(words[words.index("-o") + 1])
    others = [word for word in words[1:] if word not in ("-o", str(program))]
    paths = [Path(word) for word in others if word.endswith(".c")]
    made = for_this_machine(program.name, paths, [], [word for word in others if not word.endswith(".c")], [])
    shutil.copy(made, program)
    return subprocess.CompletedProcess(words, 0, "", "")


def which(command: str, *arguments: Any, **options: Any) -> str | None:
    """The twin of shutil.which on a machine without cross compilers and emulators."""
    return None if any(word in command for word in CROSS) else WITH_CROSS(command, *arguments, **options)


def pytest_sessionfinish() -> None:
    """Writes the counts of libraries now: a worker that takes long to end is killed."""
    for library in LIBRARIES:
        ctypes.CDLL(str(library)).write_counts()


shutil.which = which
build.for_this_machine = for_this_machine
kept_objects.with_objects = lambda sources, flags: list(sources)
subprocess.run = run
