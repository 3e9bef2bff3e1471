# SPDX-License-Identifier: MIT
"""What a person sees on terminals of 60 to 200 columns."""

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from ttzo.host_tools.cli import screen as screen_module
from ttzo.host_tools.cli.commands import COMMANDS, main
from ttzo.host_tools.cli.screen import Screen

COLUMNS = (60, 80, 120, 200)


@pytest.fixture(params=COLUMNS)
def terminal(request):
    """A screen whose results and notes go to one terminal of so many columns."""
    screen = Screen(False)
    screen.results = screen.notes = Console(
        width=request.param, file=io.StringIO(), force_terminal=True, color_system=None
    )
    return screen


def lines(screen):
    return screen.results.file.getvalue().splitlines()


def test_a_table_keeps_the_names_of_its_rows_whole(terminal):
    rows = [("nucleo-f446re", "several words that must break somewhere " * 3, "22/4,181")]
    terminal.table("", rows, ("board", "flash", "RAM"))
    assert any(line.startswith("nucleo-f446re ") for line in lines(terminal))
    assert max(map(len, lines(terminal))) <= terminal.results.width


def test_spare_columns_go_before_a_number_is_broken(terminal):
    rows = [("nucleo-f446re", "1,234,567,890,123", "7,654,321,098,765", "22/4,181", "123,456.789")]
    terminal.table("", rows, ("board", "one", "two", "three", "four"), spare=("four", "two"))
    shown = "\n".join(lines(terminal))
    assert "1,234,567,890,123" in shown and "22/4,181" in shown
    assert ("123,456.789" in shown) == (terminal.results.width > 75) == ("too narrow for: four" not in shown)


def test_text_breaks_between_words(terminal):
    text = "the model needs 21,792 bytes of RAM, microbit has 9,984; the largest part is environments (10,728 bytes)"
    terminal.tell(text)
    assert " ".join(" ".join(lines(terminal)).split()) == text
    assert max(map(len, lines(terminal))) <= terminal.results.width


def test_text_in_a_pipe_stays_one_line():
    screen = Screen(False)
    screen.results = Console(width=60, file=io.StringIO())
    screen.tell("word " * 40)
    assert len(lines(screen)) == 1


@pytest.mark.parametrize("columns", COLUMNS)
def test_a_bar_and_what_stands_beside_it_fit_on_one_line(columns):
    parts = ["93700/93700", "loss 0.123", "validation 97.5 %", "1.23e+03 steps/s", "1,234,567,890 evaluations"]
    note = screen_module._fitting("  ".join(parts), columns, "training")
    shown = note.split("  ")
    assert shown == parts[: len(shown)] and len(shown) >= 2
    assert len("training ") + screen_module._bar_width(columns) + 1 + len(note) + screen_module.TIME_LEFT <= columns


def test_something_moves_until_the_first_output(terminal):
    with terminal.working():
        assert terminal._waiting is not None
        terminal.tell("done")
        assert terminal._waiting is None
    assert "working" in terminal.results.file.getvalue()


def test_a_pipe_gets_a_line_every_few_seconds_and_one_at_the_end(monkeypatch):
    screen, clock = Screen(as_json=False), [0.0]
    screen.notes = Console(file=io.StringIO(), width=100)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with screen.bar("training") as long, screen.bar("sending") as short:
        short(1, 10), short(10, 10)
        for step in range(1, 101):
            clock[0] += 0.25  # the 5 s between two lines are twenty steps
            long(step, 100)
    assert screen.notes.file.getvalue().splitlines() == [
        "sending 10/10",
        *(f"training {step}/100" for step in (20, 40, 60, 80, 100)),
    ]


def test_help_and_the_list_of_boards_fit_60_columns(monkeypatch):
    monkeypatch.setattr(screen_module, "PIPE_WIDTH", 60)
    for words in (["--help"], *([name, "--help"] for name in COMMANDS), ["boards"]):
        shown = CliRunner().invoke(main, words, terminal_width=60, max_content_width=60).stdout
        assert shown and [line for line in shown.splitlines() if len(line) > 60] == [], words
