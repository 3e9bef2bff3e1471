# SPDX-License-Identifier: MIT
"""A pytest plugin: all C that the tests compile for this machine counts which of its lines and branches run.

    PYTHONPATH=tests/support python -m pytest -p c_coverage -m "not slow"    then: gcovr, as `make coverage` does

The counts lie in build/coverage. A process that is killed leaves none.
"""

import fcntl
import hashlib
from pathlib import Path

from ttzo.device_runtime import core_sources
from ttzo.host_tools.firmware import build

OUT = Path(__file__).parents[2] / "build" / "coverage"
FLAGS = ["--coverage", "-O0"]
OTHER_C = (
    "-fsanitize",
    "-fno-sanitize",
    "-DTTZO_PARTS",
)  # the compiler's own branches, and another text of the same lines


def for_this_machine(
    name: str, sources: list[Path], headers: list[Path], flags: list[str], link_flags: list[str]
) -> Path:
    """The twin of build.for_this_machine: each combination is compiled once, in a folder that keeps its counts."""
    if any(flag.startswith("-DTTZO_PARTS") for flag in flags):  # all parts need all sources
        sources = [path for path in sources if path not in core_sources()] + core_sources()
    flags = [flag for flag in flags if not flag.startswith(OTHER_C)]
    words = [name, *flags, *link_flags, *(path.read_text(encoding="utf-8") for path in sources if "extra" in path.name)]
    folder = OUT / hashlib.sha256("\0".join([*words, *(path.name for path in sources)]).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            _compile(name, folder, sources, flags, link_flags)
    return folder / name


def _compile(name: str, folder: Path, sources: list[Path], flags: list[str], link_flags: list[str]) -> None:
    for path in (path for path in sources if path.name == "extra.c"):
        (folder / path.name).write_bytes(path.read_bytes())
    paths = [path.name if path.name == "extra.c" else str(path.resolve()) for path in sources]
    build._run([*build._host_compiler(), *flags, *FLAGS, *paths, *link_flags, "-o", name], folder)


build.for_this_machine = for_this_machine
