# SPDX-License-Identifier: MIT
"""An event file holds the numbers of metrics.csv, and a run that goes on replaces its later steps."""

import struct

import pytest

from ttzo.host_tools.device.device import Evaluation
from ttzo.host_tools.report.tensorboard import EventFile
from ttzo.host_tools.training.run import Progress

pytest.importorskip("tensorboardX")


def events_of(folder):
    """The events of all files of the folder, by TFRecord's framing: length, its CRC, the event, its CRC."""
    from tensorboardX.proto.event_pb2 import Event

    made = []
    for path in sorted(folder.glob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            made.append(Event.FromString(content[at + 12 : at + 12 + length]))
            at += 16 + length
    return made


def values_of(events):
    return {(value.tag, event.step): round(value.simple_value, 4) for event in events for value in event.summary.value}


def progress(step, test=None):
    return Progress(step, 3, 2.0 / step, 10 * step, 1.0, test)


def test_each_measurement_is_written_once(tmp_path):
    test = Evaluation(loss=0.5, n_correct=3, n_rows=4, n_judged=4)
    writer = EventFile(tmp_path)
    for now in (progress(1), progress(2, test), progress(3, test)):
        writer(now)
    writer.close()
    assert values_of(events_of(tmp_path)) == {
        ("loss/batch", 1): 2.0,
        ("loss/batch", 2): 1.0,
        ("loss/batch", 3): 0.6667,
        **{("cost/loss_evaluations", step): 10.0 * step for step in (1, 2, 3)},
        ("loss/test", 2): 0.5,
        ("accuracy/test", 2): 0.75,
    }


def test_a_run_that_goes_on_says_from_where(tmp_path):
    for first in (1, 2):
        writer = EventFile(tmp_path)
        writer(progress(first))
        writer.close()
    restarts = [event.step for event in events_of(tmp_path) if event.session_log.status == 1]  # SessionLog.START
    assert restarts == [1, 2]
