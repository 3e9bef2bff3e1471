# SPDX-License-Identifier: MIT
"""Names from outside show what they hold and make a terminal do nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttzo.exporter.plan.printable import printable, printable_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("netduinoplus2", "netduinoplus2"),
        ("Grüße, 板 🙂", "Grüße, 板 🙂"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nb\tc\x00\x7f\x9b", "a\\nb\\tc\\x00\\x7f\\x9b"),
        ("\u202ecba\u2028", "\\u202ecba\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_obeys_is_written_out(text, shown):
    assert printable(text) == shown


def test_ends_of_lines_can_be_kept():
    assert printable("a\n\x1bb", keep="\n") == "a\n\\x1bb"


@given(st.text())
def test_nothing_that_is_shown_is_a_control_character(text):
    shown = printable(text)
    assert not any(unicodedata.category(each).startswith(("C", "Zl", "Zp")) for each in shown)
    assert printable(shown) == shown
    shown.encode("utf-8")


def test_a_name_is_cut():
    assert len(printable_name("x" * 10_000)) == 200
