# SPDX-License-Identifier: MIT
"""Modules that are built already: for each architecture, in kits of parts, in a folder or at an address.

    write_modules(Path("build/modules"), mpy_dir)         ->  a folder that mip and `ttzo deploy` install from
    smallest(Modules("build/modules"), "armv7emsp", parts_of(plan))  ->  the package to take
    Modules("https://..").files(package)                  ->  its files, checked

The folder is an index as `mip` reads it: package/MPY_VERSION/NAME/VERSION.json names the files by the first eight digits of
their SHA-256, file/ab/abcdef01 holds them. index.json lists the packages; `architecture`, `parts`, `bytes` and `sha256` in it
are ours.
"""

import hashlib
import itertools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import Part
from ttzo.exporter.plan.parts import SMALL, Parts
from ttzo.host_tools.micropython.native_module import (
    ALL_PARTS,
    BUILT,
    MPY_VERSION,
    NATIVE,
    FailedBuild,
    ModuleError,
    NoCompiler,
    build_native,
    name_parts,
    python_files,
    version,
)

INSTALLED = Path(__file__).parent / "built_modules"  # of a wheel that was built with them
CHAINS: Parts = SMALL | frozenset({Part.cores, Part.blocks, Part.split, Part.gathered, Part.narrow, Part.evaluations})
BY_LINE: Parts = frozenset({Part.link, Part.packing})
KITS: dict[str, Parts] = {
    "prompt": frozenset({Part.cores, Part.narrow}),  # for a heap of 64 KiB, which has no room for the link
    "cores": SMALL | frozenset({Part.cores, Part.narrow, Part.link}),
    "chains": CHAINS | BY_LINE,
    "graphs": CHAINS | {Part.operations, Part.pooling, Part.attention, Part.recurrent, Part.augmentation} | BY_LINE,
    "equations": frozenset({Part.equations, Part.evaluations, Part.cores, Part.link}),
    "all": ALL_PARTS,
}
SHORT = 8  # digits of a hash in a file's name
LONGEST = 1 << 22  # bytes of a file that is read from an address
PATIENCE_S = 20.0
OnProgress = Callable[[int, int], object]


@dataclass(frozen=True)
class Package:
    """One module. `sha256` of each file, by the name that it has on a board."""

    name: str
    version: str
    architecture: str
    parts: tuple[str, ...]
    bytes: int  # of the native part
    sha256: dict[str, str]

    @property
    def has(self) -> Parts:
        return frozenset(Part[name] for name in self.parts if name in Part.__members__)


# ---- taking ---------------------------------------------------------------------------------------------------------


class Modules:
    """The modules in a folder or at an address that begins with http:// or https://."""

    def __init__(self, place: str | Path):
        self.place = str(place).rstrip("/")
        self.remote = self.place.startswith(("http://", "https://"))
        try:
            rows = json.loads(self._read("index.json"))["packages"]
            self.packages = [Package(**{name: row[name] for name in Package.__dataclass_fields__}) for row in rows]
        except (ValueError, LookupError, TypeError) as error:
            raise ModuleError(
                f"{self.place} holds no index of ttzo's modules ({error})", "`make modules` writes one"
            ) from error

    def files(self, package: Package) -> dict[str, bytes]:
        """The package's files by name. Raises `ModuleError` for one that is missing or damaged."""
        found = {}
        for name, digest in package.sha256.items():
            found[name] = self._read(_place(digest))
            if hashlib.sha256(found[name]).hexdigest() != digest:
                raise ModuleError(
                    f"{name} of {package.name} in {self.place} is damaged", "fetch or build the modules again"
                )
        return found

    def _read(self, name: str) -> bytes:
        try:
            if not self.remote:
                return (Path(self.place) / name).read_bytes()
            with urllib.request.urlopen(f"{self.place}/{name}", timeout=PATIENCE_S) as reply:
                content = reply.read(LONGEST + 1)
        except (OSError, urllib.error.URLError) as error:
            raise ModuleError(
                f"{self.place}/{name} cannot be read ({error})", "check the folder or the address"
            ) from error
        if len(content) > LONGEST:
            raise ModuleError(f"{self.place}/{name} is larger than {LONGEST:,} bytes", "check the address")
        return content


def smallest(modules: Modules, architecture: str, parts: Parts) -> Package:
    """The smallest package for that architecture that has the parts. Raises `ModuleError` where there is none."""
    for_it = [package for package in modules.packages if package.architecture == architecture]
    enough = [package for package in for_it if parts <= package.has]
    if enough:
        return min(enough, key=lambda package: package.bytes)
    if not for_it:
        names = ", ".join(sorted({package.architecture for package in modules.packages})) or "none"
        raise ModuleError(
            f"{modules.place} has no module for {architecture}, only for {names}",
            "name a MicroPython source tree in MPY_DIR, and the module is built",
        )
    missing = parts - frozenset().union(*(package.has for package in for_it))
    what = f"part {name_parts(missing)}" if missing else f"all of the parts {name_parts(parts)} together"
    raise ModuleError(
        f"no module for {architecture} in {modules.place} has {what}, which the model needs",
        "name a MicroPython source tree in MPY_DIR, and one with them is built",
    )


def installed() -> Modules | None:
    """The modules that came with ttzo, if any did."""
    return Modules(INSTALLED) if (INSTALLED / "index.json").is_file() else None


# ---- making ---------------------------------------------------------------------------------------------------------


def write_modules(
    folder: Path,
    mpy_dir: str | Path,
    architectures: Iterable[str] = BUILT,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, str]:
    """Builds every kit for the architectures, as many at once as there are processors, and writes the index of what was built.

    Returns what was left out, each with the reason: an architecture whose compiler is not installed, a package whose build
    failed.
    Raises:
        ModuleError: no source tree, no mpy-cross, or no module was built.
    """
    left_out: dict[str, str] = {}
    packages: list[Package] = []
    wanted, python = list(itertools.product(architectures, KITS)), python_files()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = pool.map(lambda each: _built(mpy_dir, *each), wanted)
        for number, ((architecture, kit), native) in enumerate(zip(wanted, built, strict=True)):
            on_progress(number, len(wanted))
            if isinstance(native, bytes):
                packages.append(_write(folder, architecture, kit, KITS[kit], {NATIVE: native} | python))
            else:
                missing = isinstance(native, NoCompiler)
                left_out[architecture if missing else _name(architecture, kit)] = f"{native}; {native.hint}"
    if not packages:
        raise ModuleError(
            f"no module was built: {'; '.join(left_out.values())}",
            "install a compiler of an architecture that you need",
        )
    _write_json(folder / "index.json", {"v": 1, "packages": [_row(package) for package in packages]})
    return left_out


def _built(mpy_dir: str | Path, architecture: str, kit: str) -> bytes | NoCompiler | FailedBuild:
    try:
        return build_native(architecture, mpy_dir, parts=KITS[kit])
    except (NoCompiler, FailedBuild) as error:
        return error


def _write(folder: Path, architecture: str, kit: str, parts: Parts, files: dict[str, bytes]) -> Package:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, content in files.items():
        path = folder / _place(digests[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    package = Package(
        _name(architecture, kit),
        version(),
        architecture,
        tuple(part.name for part in sorted(parts)),
        len(files[NATIVE]),
        digests,
    )
    page = {
        "v": 1,
        "version": package.version,
        "hashes": [[name, digest[:SHORT]] for name, digest in digests.items()],
    }
    for name in ("latest", package.version):
        _write_json(folder / "package" / str(MPY_VERSION[0]) / package.name / f"{name}.json", page)
    return package


def _name(architecture: str, kit: str) -> str:
    return f"ttzo-{architecture}-{kit}"


def _row(package: Package) -> dict[str, Any]:
    described = f"Trains networks on the board, with forward passes only; parts {', '.join(package.parts)}"
    versions = {str(MPY_VERSION[0]): [package.version]}
    return {"author": "ttzo", "description": described, "license": "MIT", "versions": versions, **asdict(package)}


def _write_json(path: Path, page: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")


def _place(digest: str) -> str:
    return f"file/{digest[:2]}/{digest[:SHORT]}"
