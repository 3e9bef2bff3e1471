# SPDX-License-Identifier: MIT
"""A pytest plugin: all C that the tests compile for this machine counts which of its lines and branches run.

    PYTHONPATH=tests/support python -m pytest -p c_coverage -m "not slow"    then: gcovr, as `make coverage` does

The counts lie in build/coverage. A process that is killed leaves none.
"""

import hashlib
from pathlib import Path

from ttzo.host_tools.firmware import build

OUT = Path(__file__).parents[2] / "build" / "coverage"
FLAGS = ["--coverage", "-fprofile-update=atomic", "-O1"]


def for_this_machine(
    name: str, sources: list[Path], headers: list[Path], flags: list[str], link_flags: list[str]
) -> Path:
    """The twin of build.for_this_machine: each combination is compiled once, in a folder that keeps its counts."""
    words = [name, *flags, *link_flags, *(path.read_text(encoding="utf-8") for path in sources if "extra" in path.name)]
    folder = OUT / hashlib.sha256("\0".join([*words, *(path.name for path in sources)]).encode()).hexdigest()[:16]
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        paths = [str(path.resolve()) for path in sources if path.name != "extra.c"]
        for path in (path for path in sources if path.name == "extra.c"):
            (folder / path.name).write_bytes(path.read_bytes())
            paths.append(path.name)
        build._run([*build._host_compiler(), *flags, *FLAGS, *paths, *link_flags, "-o", name], folder)
    return folder / name


build.for_this_machine = for_this_machine
