# SPDX-License-Identifier: MIT
"""The metrics file: a run that goes on drops what comes after its step or is damaged, and keeps the time spent."""

import zlib

import numpy as np
import pytest

from ttzo.exporter.plan.training import Training
from ttzo.host_tools.training import metrics
from ttzo.host_tools.training.metrics import COLUMNS, MetricsError, MetricsFile


def write(path, steps, start=0):
    """Steps start + 1 .. steps, a second each; the file, closed."""
    file = MetricsFile(path, "a model", Training(), start)
    for step in range(start + 1, steps + 1):
        file.write(
            **dict.fromkeys(COLUMNS, 0.5) | {"step": step, "seconds": float(step), "accuracy": None, "event": None}
        )
    file.close()
    return file


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "metrics.csv", 9)
    return tmp_path / "metrics.csv"


def steps(path):
    return [row["step"] for row in metrics.read(path)]


def test_a_run_that_goes_on_drops_the_steps_behind_its_checkpoint(path):
    file = write(path, 12, start=6)
    assert steps(path) == list(range(1, 13)) and file.seconds == 6.0


def test_the_time_spent_survives_calls_that_did_no_step(path):
    assert [write(path, 9, start=9).seconds for _ in range(3)] == [9.0] * 3


@pytest.mark.parametrize("damage", [b"\xff", b"x", b"\n", b",", b"7"])
def test_steps_behind_a_damaged_line_are_dropped(path, damage):
    lines = path.read_bytes().splitlines(keepends=True)
    at = [line.startswith(b"4,") for line in lines].index(True)
    lines[at] = lines[at][:3] + damage + lines[at][4:]
    path.write_bytes(b"".join(lines))
    with pytest.raises(MetricsError, match="step line 4") as caught:
        metrics.read(path)
    assert caught.value.hint
    assert write(path, 7, start=6).seconds == 3.0  # the last second that is still known
    assert steps(path) == [1, 2, 3, 7]


def test_no_byte_that_changes_brings_another_error(path):
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :])
        try:
            assert len(steps(path)) <= 10
        except MetricsError as error:
            assert error.hint
        write(path, 9, start=9)


def test_a_digit_that_changes_is_found_by_the_line_s_own_checksum(path):
    assert path.read_text().count("7,0.5,") == 1
    path.write_text(path.read_text().replace("7,0.5,", "7,0.6,"))
    with pytest.raises(MetricsError, match="step line 7"):
        metrics.read(path)


def test_a_line_holds_the_crc32_of_what_stands_before_its_last_comma(path):
    line = path.read_text().splitlines()[-1]
    words, _, crc = line.rpartition(",")
    assert crc == f"{zlib.crc32(words.encode()):08x}" and path.read_text().splitlines()[2].endswith(",crc32")


@pytest.mark.parametrize("content", [None, b"step,loss\n1,2\n", b"rubbish\n", b"\xff\xfe\n"])
def test_rows_that_cannot_be_gone_on_with_are_kept_beside_with_a_word(path, content):
    before = path.read_bytes() if content is None else content
    if content is None:
        before = before.replace(b"\n4,", b"\n4,9")
    path.write_bytes(before)
    said = []
    for step in (6, 7):
        MetricsFile(path, "a model", Training(), step, said.append).close()
        path.write_bytes(before)
    asides = sorted(path.parent.glob("metrics.aside-*.csv"))
    assert [aside.read_bytes() for aside in asides] == [before] * 2
    assert len(said) == 2 and "kept in metrics.aside-1.csv" in said[0] and "aside-2" in said[1]


def test_steps_that_are_done_again_are_counted_aloud(path):
    said = []
    MetricsFile(path, "a model", Training(), 6, said.append).close()
    assert said == ["metrics.csv: 3 steps after step 6 are dropped; they are done again"]
    MetricsFile(path, "a model", Training(), 6, said.append).close()
    assert len(said) == 1 and not list(path.parent.glob("*.aside-*"))


def test_a_name_with_control_codes_does_not_break_the_file(path):
    MetricsFile(path, "a \x1b[31mboard\nof two lines\u2028", Training(), 9).close()
    assert steps(path) == list(range(1, 10)) and "\x1b" not in path.read_text()
