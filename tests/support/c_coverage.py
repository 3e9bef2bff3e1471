# SPDX-License-Identifier: MIT
"""A pytest plugin: all C that the tests compile for this machine counts which of its lines and branches run.

    PYTHONPATH=tests/support python -m pytest -p c_coverage tests/train    then: gcovr, as `make coverage` does

Branches are those of the source: nothing is optimised, and sanitizers, which add branches of their own, are left out. The
counts lie in build/coverage. A process that is killed leaves none.
"""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttzo.device_runtime import core_sources
from ttzo.host_tools.firmware import build

OUT = Path(__file__).parents[2] / "build" / "coverage"
FLAGS = ["--coverage", "-O0"]
PARTS = "-DTTZO_PARTS"
OTHER_C = ("-fsanitize", "-fno-sanitize", PARTS)  # branches of the compiler's own, and another text of the same lines
WITHOUT_COUNTS = subprocess.run
NOT_COUNTED = build.for_this_machine


def _sources(sources: Sequence[Path], flags: Sequence[str]) -> list[Path]:
    """A build of some parts becomes one of all."""
    if any(flag.startswith(PARTS) for flag in flags):
        return [*(path for path in sources if path not in core_sources()), *core_sources()]
    return list(sources)


def for_this_machine(
    name: str, sources: list[Path], headers: list[Path], flags: list[str], link_flags: list[str]
) -> Path:
    """The twin of build.for_this_machine: each combination is compiled once, in a folder that keeps its counts. Libraries of
    some parts are made to see what they lack, and are left as they are."""
    if name.endswith(".so") and any(flag.startswith(PARTS) for flag in flags):
        return NOT_COUNTED(name, sources, headers, flags, link_flags)
    sources, flags = _sources(sources, flags), [flag for flag in flags if not flag.startswith(OTHER_C)]
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
    command = [*build._host_compiler(), *flags, *FLAGS, *paths, *link_flags, "-o", name]
    WITHOUT_COUNTS(command, cwd=folder, check=True)


def run(command: Any, *arguments: Any, **options: Any) -> Any:
    """The twin of subprocess.run: what `cc ... -o PROGRAM` makes of the core counts too."""
    words = [str(word) for word in command] if isinstance(command, list | tuple) else []
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


build.for_this_machine = for_this_machine
subprocess.run = run
