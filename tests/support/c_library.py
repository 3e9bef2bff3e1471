# SPDX-License-Identifier: MIT
"""Builds C sources of the device runtime into a shared library and opens it with ctypes."""

import ctypes
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ttzo.device_runtime import FOLDER as RUNTIME

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wmissing-prototypes", "-Werror")
STRICT = ("-std=c99", "-O2", "-ffp-contract=off", *WARNINGS)
FUSED = ("-DTTZO_FUSED=1",)


def compile_library(folder: Path, sources: Sequence[str], extra: str = "", flags: Sequence[str] = ()) -> Path:
    """The shared library made from `sources` (names in device_runtime/) and from the C text `extra`, which may include
    any header of the runtime; its functions need prototypes too. `flags` follow the strict ones of the core.

    Raises subprocess.CalledProcessError with the compiler's output on its stderr."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    made = folder / "library.so"
    files = [str(RUNTIME / name) for name in sources]
    if extra:
        (folder / "extra.c").write_text(extra, encoding="utf-8")
        files.append(str(folder / "extra.c"))
    command = [*compiler, *STRICT, *flags, f"-I{RUNTIME}", "-shared", "-fPIC", "-o", str(made), *files]
    # only the fused build may ask libm for anything, and only for fmaf where the processor lacks it
    subprocess.run([*command, "-lm"] if "-DTTZO_FUSED=1" in flags else command, check=True)
    return made


def library_opener(new_folder: Callable[[], Path]) -> Callable[..., ctypes.CDLL]:
    """A function `open(*sources, extra="", flags=())` that compiles each combination once."""
    opened: dict[tuple, ctypes.CDLL] = {}

    def open_library(*sources: str, extra: str = "", flags: Sequence[str] = ()) -> ctypes.CDLL:
        key = (sources, extra, tuple(flags))
        if key not in opened:
            opened[key] = ctypes.CDLL(str(compile_library(new_folder(), sources, extra, flags)))
        return opened[key]

    return open_library
