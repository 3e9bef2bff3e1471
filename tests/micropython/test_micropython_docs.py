# SPDX-License-Identifier: MIT
"""docs/micropython.md keeps its word: its session runs, line for line, in a real interpreter."""

import re
from pathlib import Path

import pytest
from interpreters import FORMS, Interpreter

from ttzo.exporter.export import export
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.commands import COMMANDS
from ttzo.host_tools.data import data_set

PAGE = (Path(__file__).parents[2] / "docs" / "micropython.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# What a prompt does with a line: run it, or show its value.
PROMPT = """
def prompt(line):
    print(">>>", line)
    try:
        code = compile(line, "session", "eval")
    except SyntaxError:
        exec(line, globals())
    else:
        value = eval(code, globals())
        if value is not None: print(repr(value))
"""


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    """An interpreter that finds what `ttzo deploy --data digits` and `ttzo deploy` of an equation leave on a board."""
    made = Interpreter(tmp_path_factory.mktemp("docs"), request.param)
    plan = export("digits", tmp_path_factory.mktemp("digits") / "digits")
    rows = data_set.load("digits", plan)
    (made.folder / "digits.ttzo").write_bytes(to_bundle.write(plan))
    equation = export("allen-cahn", tmp_path_factory.mktemp("equation") / "allen-cahn")
    (made.folder / "allen-cahn.ttzo").write_bytes(to_bundle.write(equation))
    (made.folder / "train.rows").write_bytes(rows.train_rows.tobytes())
    (made.folder / "test.rows").write_bytes(rows.test_rows.tobytes())
    return made


def test_the_session_runs_as_it_is_written(board):
    assert len(SESSIONS) == 3
    for session in SESSIONS:  # each in an interpreter of its own: the reset between them
        lines = [line.removeprefix(">>> ") for line in session.splitlines() if line.startswith(">>> ")]
        said = board.run(PROMPT + "".join(f"prompt({line!r})\n" for line in lines))
        assert said == session


def test_digits_reach_nine_in_ten_on_the_board(board):
    accuracy = re.findall(r"^0\.\d\d$", SESSIONS[0], re.MULTILINE)[-1]
    assert float(accuracy) >= 0.90


def test_its_commands_are_commands():
    for word in re.findall(r"^(?:MPY_DIR=\S+ )?ttzo (\w+)", PAGE, re.MULTILINE):
        assert word in COMMANDS
