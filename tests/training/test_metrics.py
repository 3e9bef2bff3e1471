# SPDX-License-Identifier: MIT
"""The metrics file: a run that goes on drops what comes after its step or is damaged, and keeps the time spent."""

import numpy as np
import pytest

from ttzo.exporter.plan.training import Training
from ttzo.host_tools.training import metrics
from ttzo.host_tools.training.metrics import COLUMNS, MetricsError, MetricsFile


def write(path, steps, start=0):
    """Steps start + 1 .. steps, a second each; the file, closed."""
    file = MetricsFile(path, "a model", Training(), start)
    for step in range(start + 1, steps + 1):
        file.write(**dict.fromkeys(COLUMNS, 0.5) | {"step": step, "seconds": float(step), "accuracy": None})
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


@pytest.mark.parametrize("damage", [b"\xff", b"x", b"\n", b","])
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
