# SPDX-License-Identifier: MIT
"""The gates are what they say: lists name what is there, targets exist, locked versions are versions and nothing else."""

import ast
import re
from pathlib import Path

import measure_slow
import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE))


ROOMS = sorted({path.parent.name for path in ROOT.glob("tests/*/test_*.py")})


def names_in(room: str) -> set[str]:
    """`room::function` of the tests in a room."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests" / room).glob("test_*.py")]
    functions = [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {f"{room}::{name}" for name in functions if name.startswith("test_")}


def test_the_list_of_slow_tests_names_tests():
    left = measure_slow.slow_functions() - set().union(*map(names_in, ROOMS))
    assert not left, "take these lines out of tests/slow.txt, or run `make slow-tests`"


def test_the_tests_of_quick_coverage_are_there_and_run_in_whole_coverage_too():
    text = (ROOT / "tests/quick_coverage.txt").read_text(encoding="utf-8")
    named = {f"{room}::{name}" for room, name in re.findall(r"^tests/(\w+)/\w+\.py::(\w+)$", text, re.MULTILINE)}
    assert len(named) == len(re.findall(r"^tests/", text, re.MULTILINE))
    rooms = re.search(r"^COVERED := (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert not named - set().union(*map(names_in, rooms)), "take these lines out of tests/quick_coverage.txt"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_fast_tests(room):
    assert names_in(room) - measure_slow.slow_functions()


def test_help_names_targets_and_all_of_them():
    named = set(re.findall(r"^# make ([a-z-]+)", MAKEFILE, re.MULTILINE)) | set(
        re.findall(r"; make ([a-z-]+)", MAKEFILE)
    )
    assert named == TARGETS - {"setup", "tools", "help"}


def test_hooks_and_ci_run_targets():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in (".pre-commit-config.yaml", ".ci/run")]
    run = [set(re.findall(r"^ *(?:entry: )?make (.*)$", text, re.MULTILINE)) for text in texts]
    assert run == [{"style", "types", "fast"}, {"style types", "test", "quick-coverage"}]
    assert run[0] == set(re.search(r"^check: (.*)$", MAKEFILE, re.MULTILINE)[1].split())


def test_locked_versions_are_plain_versions_of_what_pyproject_names():
    lines = (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines)
    named = re.findall(r'^  "([\w-]+)[>=]=', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name.replace("_", "-").lower() for name in named} <= {name.replace("_", "-").lower() for name in locked}
