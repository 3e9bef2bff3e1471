# SPDX-License-Identifier: MIT
"""The machine's own compiler on sources of the device runtime, with its results kept in the user's cache folder: a shared
library that ctypes opens, and `ttzo-native` with extra flags."""

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import kept_objects

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime import core_headers, core_sources
from ttzo.host_tools.firmware.build import FLAGS, NATIVE_FLAGS, for_this_machine

STRICT = [*FLAGS, "-Werror", f"-I{RUNTIME}"]
FUSED = ("-DTTZO_FUSED=1",)
UNUSED_SECONDS = 14 * 24 * 3600  # results that no test has asked for in this time are deleted


def compile_library(sources: Sequence[str], extra: str = "", flags: Sequence[str] = ()) -> Path:
    """The shared library made from `sources` (names in device_runtime/) and from the C text `extra`, which may include
    any header of the runtime; its functions need prototypes too. `flags` follow the strict ones of the core.

    Raises BuildError with the compiler's first complaints."""
    # only the fused build may ask libm for anything, and only for fmaf where the processor lacks it
    link_flags = ["-lm"] if "-DTTZO_FUSED=1" in flags else []
    with tempfile.TemporaryDirectory() as folder:
        files = [RUNTIME / name for name in sources]
        if extra:
            files.append(Path(folder) / "extra.c")
            files[-1].write_text(extra, encoding="utf-8")
        return _kept("test-library.so", files, [*STRICT, *flags, "-shared", "-fPIC"], link_flags)


def compile_native(*flags: str) -> Path:
    """`ttzo-native` built with extra flags."""
    port = sorted((RUNTIME / "ports/native").glob("*.c"))
    return _kept("test-native", [*core_sources(), *port], [*STRICT, *NATIVE_FLAGS, *flags], [])


def library_opener() -> Callable[..., ctypes.CDLL]:
    """A function `open(*sources, extra="", flags=())` that opens each combination once."""
    opened: dict[tuple, ctypes.CDLL] = {}

    def open_library(*sources: str, extra: str = "", flags: Sequence[str] = ()) -> ctypes.CDLL:
        key = (sources, extra, tuple(flags))
        if key not in opened:
            opened[key] = ctypes.CDLL(str(compile_library(sources, extra, flags)))
        return opened[key]

    return open_library


def _kept(name: str, sources: list[Path], flags: list[str], link_flags: list[str]) -> Path:
    linked = kept_objects.with_objects(sources, flags)
    made = for_this_machine(name, linked, core_headers(), flags, link_flags)
    os.utime(made.parent)
    for folder in made.parent.parent.glob(f"{Path(name).stem}-*"):
        if folder.stat().st_mtime < time.time() - UNUSED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    return made
