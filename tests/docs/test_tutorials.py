# SPDX-License-Identifier: MIT
"""Every tutorial does what it says: its files are written, its commands run in their order."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "tutorials").glob("*.md"))
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PROGRAMS = {"ttzo": [sys.executable, "-m", "ttzo.host_tools"], "python": [sys.executable]}
NEEDED = {"own-firmware": "cmake", "own-board": "qemu-system-arm"}  # beside a C compiler


def run(line: str, folder: Path) -> None:
    words = shlex.split(line, comments=True)
    command = [*PROGRAMS.get(words[0], [words[0]]), *words[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"COLUMNS": "100"})
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_it_is_written(page, tmp_path):
    if (program := NEEDED.get(page.stem)) and not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for language, title, text in blocks:
        if title:
            (tmp_path / title).write_text(text, encoding="utf-8")
        elif language == "sh":
            for line in text.splitlines():
                if "qemu:" in line and not shutil.which("qemu-system-arm"):
                    continue
                run(line, tmp_path)
