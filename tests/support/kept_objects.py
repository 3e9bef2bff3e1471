# SPDX-License-Identifier: MIT
"""Objects of the runtime for the tests, each compiled once: `compile_all` takes the place of `build._compile_all` in them.

Firmware for another model, or for another board of the same core, is mostly made of the same objects. An object stays in the
user's cache folder under a key over all that it depends on: compiler, flags, its source and every header that this includes.
A macro on the command line counts where a file among these names it, and of TTZO_PARTS the parts that they ask for.
"""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs

from ttzo.device_runtime import FOLDER
from ttzo.device_runtime.contract import Part
from ttzo.host_tools.firmware import build

RUNTIME = FOLDER.resolve()
ANEW = build._compile_all
UNUSED_SECONDS = 14 * 24 * 3600  # objects that no test has asked for in this time are deleted
WRITES_MORE = ("-fstack-usage", "--coverage", "-save-temps")  # beside the object
LINKS = ("-shared", "-static", "-Wl,", "-nostdlib")
PREFIX_MAP = "-ffile-prefix-map="


def compile_all(
    folder: Path, compiler: str, sources: Sequence[Path], flags: Sequence[str], kept: Path | None = None
) -> list[str]:
    """The twin of `build._compile_all`, with the same errors; of what is kept, a warning is one too."""
    includes = [Path(flag[2:]).resolve() for flag in flags if flag.startswith("-I")]
    if kept or any(flag.startswith(WRITES_MORE) for flag in flags) or not all(map(_is_ours, includes)):
        return ANEW(folder, compiler, sources, flags, kept)
    others = [source for source in sources if not _is_ours(source)]
    made = dict(zip(others, ANEW(folder, compiler, others, flags), strict=True))
    ours = [source for source in sources if _is_ours(source)]
    made |= zip(ours, map(str, _compiled(folder, compiler, ours, flags)), strict=True)
    return [made[source] for source in sources]


def with_objects(sources: Sequence[Path], flags: Sequence[str]) -> list[Path]:
    """The sources, of those of the runtime the objects that this machine's compiler makes. c_coverage.py, which makes its own,
    takes them as they are."""
    ours = [source.resolve() for source in sources if _is_ours(source.resolve())]
    compiler, *further = build._host_compiler()
    further += [flag for flag in flags if not flag.startswith(LINKS)]
    with tempfile.TemporaryDirectory() as folder:
        objects = _compiled(Path(folder), compiler, ours, further)
    return [*objects, *(source for source in sources if not _is_ours(source.resolve()))]


def _compiled(folder: Path, compiler: str, sources: Sequence[Path], flags: Sequence[str]) -> list[Path]:
    objects, flags = _objects(), [*flags, *(["-Werror"] if "-Werror" not in flags else [])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda source: _object(objects, folder, compiler, source, flags), sources))


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(RUNTIME)


def _object(objects: Path, folder: Path, compiler: str, source: Path, flags: Sequence[str]) -> Path:
    """The kept object, compiled in `folder` if it is the first of its key, also where several processes ask at a time."""
    words = [str(source.relative_to(RUNTIME)), _version(shutil.which(compiler) or compiler), *_of_effect(source, flags)]
    words += [_digest(path) for path in _read(source)]
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()
    made = objects / f"{key[:32]}.o"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            os.utime(made)
        else:
            build._run([compiler, *flags, "-c", str(source), "-o", f"{made.stem}.o"], folder)
            shutil.move(folder / f"{made.stem}.o", made.with_suffix(".part"))
            made.with_suffix(".part").replace(made)
    return made


@functools.cache
def _objects() -> Path:
    """The folder of all objects, without those that are old."""
    folder = platformdirs.user_cache_path("ttzo") / "test-objects"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - UNUSED_SECONDS:
            path.unlink(missing_ok=True)
    return folder


# ---- what an object depends on --------------------------------------------------------------------------------------


def _of_effect(source: Path, flags: Iterable[str]) -> list[str]:
    """The flags that can change the object: without the folders that leave no trace in it, without macros that no file names."""
    kept = []
    for flag in flags:
        name, _, value = flag.removeprefix("-D").partition("=")
        if flag.startswith("-DTTZO_PARTS="):
            kept.append(f"-D{name}={_parts_of_effect(source, int(value.removesuffix('u'), 0))}")
        elif flag.startswith("-I") or flag.startswith(PREFIX_MAP) and not flag.startswith(f"{PREFIX_MAP}{FOLDER}="):
            continue
        elif not flag.startswith("-D") or name in _words(source):
            kept.append(flag)
    return kept


def _parts_of_effect(source: Path, parts: int) -> int:
    """The sum of those parts that its files ask for by name, or of all where a file takes the sum itself."""
    if any("TTZO_PARTS" in _text(path) for path in _read(source) if path.name != "parts.h"):
        return parts
    asked = {name for path in _read(source) for name in re.findall(r"TTZO_HAS\((\w+)\)", _text(path))}
    return sum(part for part in Part if part & parts and part.name.upper() in asked)


@functools.cache
def _words(source: Path) -> frozenset[str]:
    return frozenset(word for path in _read(source) for word in re.findall(r"\w+", _text(path)))


@functools.cache
def _read(source: Path) -> tuple[Path, ...]:
    """The source and every header of the runtime that it includes, itself or through others."""
    found, waiting = [], [source]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.append(path)
            waiting += [header for name in _included(path) for header in _headers().get(name, ())]
    return tuple(sorted(found))


def _included(path: Path) -> set[str]:
    return {Path(name).name for name in re.findall(r'^ *# *include "(.+)"', _text(path), re.MULTILINE)}


@functools.cache
def _headers() -> dict[str, list[Path]]:
    """Headers of the runtime by name; of several with one name all count."""
    found: dict[str, list[Path]] = {}
    for path in sorted(RUNTIME.rglob("*.h")):
        found.setdefault(path.name, []).append(path)
    return found


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _digest(path: Path) -> str:
    return hashlib.sha256(_text(path).encode()).hexdigest()


@functools.cache
def _version(compiler: str) -> str:
    return compiler + subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
