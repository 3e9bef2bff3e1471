# SPDX-License-Identifier: MIT
"""The README keeps its word: its tour runs as it is written. tests/docs/test_figures.py has its links."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TTZO = [sys.executable, "-c", "from ttzo.host_tools.cli.commands import main; main()"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def ttzo(line: str, folder: Path) -> None:
    words = shlex.split(line, comments=True)
    done = subprocess.run([*TTZO, *words[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_tour_runs_as_it_is_written(tmp_path):
    (model,) = blocks("python")
    (tmp_path / "my.py").write_text(model)
    for line in "".join(blocks("sh")).splitlines():
        assert line.startswith("ttzo ")
        ttzo(line, tmp_path)


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"\nmake {target} " in README and f"\n{target}: " in makefile
