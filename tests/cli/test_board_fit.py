# SPDX-License-Identifier: MIT
"""What `ttzo export --board` says of the board, and that it says nothing without one."""

import dataclasses
import json

from click.testing import CliRunner

from ttzo.exporter.export import plan_of
from ttzo.host_tools.cli.board_fit import duration, fit_rows
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.forecast import forecast

BOARD = boards.load("netduinoplus2")


def said(plan, board, **changes):
    found = dataclasses.replace(forecast(plan, board, None), **changes)
    return dict(fit_rows(plan, board, found))


def test_an_export_for_a_board_says_what_fits_and_what_training_takes():
    plan = plan_of("digits")
    rows = said(
        plan,
        BOARD,
        flash_bytes=49_812,
        most_flash_bytes=51_001,
        work_bytes=21_792,
        most_seconds=0.5,
        most_joules=0.066,
        line_seconds=0.28,
    )
    assert rows["on netduinoplus2"] == (
        "fits: 50-52 of 1,049 KB of flash (expected-at most), 22 of 122 KB of RAM; "
        "`ttzo build` checks that the stack fits the 4,096 bytes reserved"
    )
    assert rows["time there"] == (
        "a step at most 0.5 s, 300 steps 2.5 min and 19.8 J (estimated, not measured); "
        "0.28 s more where a step's rows are sent; the mean: `ttzo plan`"
    )


def test_a_board_without_a_known_current_says_so_and_one_without_firmware_has_no_stack_check():
    rows = said(plan_of("digits"), boards.load("pico2"))
    assert "its current is not known" in rows["time there"] and " J " not in rows["time there"]
    assert "ttzo build" not in rows["on pico2"]


def test_a_flash_that_only_the_ceiling_exceeds_is_told_with_a_next_step():
    rows = said(plan_of("digits"), BOARD, most_flash_bytes=BOARD.flash_bytes + 1)
    assert rows["on netduinoplus2"].startswith("flash may be too small: ") and "--size" in rows["on netduinoplus2"]


def test_an_equation_sends_no_rows_and_a_simulation_takes_what_its_log_asks():
    assert "rows are sent" not in said(plan_of("black-scholes"), BOARD)["time there"]
    assert said(plan_of("house"), BOARD)["time there"] == "what a sweep takes depends on the log"


def test_a_duration_is_in_the_unit_in_which_a_person_reads_it():
    assert [duration(each) for each in (0.0123, 61, 150, 9000)] == ["0.0123 s", "61 s", "2.5 min", "2.5 h"]


def test_an_export_without_a_board_is_silent_about_boards(tmp_path):
    alone = CliRunner().invoke(main, ["export", "digits", "-o", str(tmp_path / "a"), "--json"])
    assert "forecast" not in json.loads(alone.stdout)
    shown = CliRunner().invoke(main, ["export", "digits", "-o", str(tmp_path / "a")]).stdout
    assert "time there" not in shown and " of flash" not in shown
    asked = CliRunner().invoke(main, ["export", "digits", "-o", str(tmp_path / "b"), "--board", "pico", "--json"])
    assert json.loads(asked.stdout)["forecast"]["board"] == "pico"
    shown = CliRunner().invoke(main, ["export", "digits", "-o", str(tmp_path / "b"), "--board", "pico"]).stdout
    assert "on pico" in shown and "time there" in shown
