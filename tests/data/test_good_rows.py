# SPDX-License-Identifier: MIT
"""Data of models that find anomalies: good rows train, labels stay with the test rows, and the targets are the inputs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ttzo.device_runtime.contract import Loss, TtzoError
from ttzo.exporter.export import export
from ttzo.exporter.plan.anomaly import Detection, detection_of
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import data_set, good_rows, recordings, wheel_files
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.training import answers

NET = """\
import torch


def make(n=4):
    nn = torch.nn
    return nn.Sequential(nn.Linear(n, 3), nn.Tanh(), nn.Linear(3, n)), {"task": "anomaly", "votes": "1/1", "threshold": "percentile:95"}


def narrow():
    return torch.nn.Sequential(torch.nn.Linear(4, 3))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and a table of a line in four dimensions with rows beside it in its last third."""
    made = tmp_path_factory.mktemp("good")
    (made / "net.py").write_text(NET)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (900, 1)) * [1.0, -2.0, 3.0, 0.5] + rng.normal(0, 0.05, (900, 4)) + 7
    labels = np.where(rng.random(900) < 0.1, "fault", "normal")
    x[labels == "fault"] += rng.normal(0, 2, ((labels == "fault").sum(), 4))
    lines = [",".join([*(f"{value:.5f}" for value in row), word]) for row, word in zip(x, labels, strict=True)]
    (made / "table.csv").write_text("\n".join(["a,b,c,d,state", *lines]) + "\n")
    (made / "others.csv").write_text((made / "table.csv").read_text().replace("normal", "fine"))
    return made


def test_good_rows_train_and_every_target_is_its_input(folder):
    plan = export(f"{folder / 'net.py'}:make", folder / "m")
    assert plan.finds_anomalies and plan.loss == Loss.mse
    rows = data_set.load(folder / "table.csv", plan)
    n_bad = (folder / "table.csv").read_text().count("fault")
    tested = int(rows.anomalous.sum())
    assert len(rows.x_test) == len(rows.anomalous) == 180 and 0 < tested < 30
    assert len(rows.x_train) + rows.n_validation == 720 - (n_bad - tested)
    for x, y in ((rows.x_train, rows.y_train), (rows.x_validation, rows.y_validation), (rows.x_test, rows.y_test)):
        assert np.array_equal(x, y)
    assert np.abs(rows.x_train.mean(0)).max() < 0.2 and np.abs(rows.x_train.std(0) - 1).max() < 0.1
    assert any("anomalous rows were left out of train" in note for note in rows.notes)
    assert f"{tested:,} of 180 test rows are anomalous" in rows.notes


def test_a_window_is_anomalous_where_any_of_its_rows_is(folder):
    plan = export(f"{folder / 'net.py'}:make", folder / "w")
    windows = data_set.load(folder / "table.csv", plan, DataOptions(ignore="b,c,d", window=4, hop=4))
    table = [line.rsplit(",", 1)[1] for line in (folder / "table.csv").read_text().splitlines()[1:]]
    words = table[len(table) * 8 // 10 :]
    expected = sum("fault" in words[at : at + 4] for at in range(0, len(words) - 3, 4))
    assert abs(int(windows.anomalous.sum()) - expected) <= 3  # the split may begin some rows before or after


def test_what_is_no_good_label_is_asked_for(folder):
    plan = export(f"{folder / 'net.py'}:make", folder / "o")
    with pytest.raises(DataError, match="no row is good; the labels are fault, fine") as refused:
        data_set.load(folder / "others.csv", plan)
    assert "--good" in refused.value.hint
    assert data_set.load(folder / "others.csv", plan, DataOptions(good="fine")).anomalous.sum() > 0


@pytest.mark.parametrize(
    ("labels", "good", "expected"),
    [
        ([0, 1, 0, 2], None, [0, 1, 0, 1]),
        (["OK", "bad", "Normal"], None, [0, 1, 0]),
        (["0", "1"], "1", [1, 0]),
        ([3, 5, 3], "3", [0, 1, 0]),
    ],
)
def test_labels_of_good_rows(labels, good, expected):
    assert list(good_rows.anomalous("t", np.array(labels), good)) == expected


@pytest.mark.parametrize(
    ("threshold", "votes"),
    [("percentile:0", None), ("percentile:100", None), ("median", None), ("gaussian:", None), (None, "3/2"), (None, "0/3"), (None, "2/40"), (None, "2")],
)  # fmt: skip
def test_a_rule_that_means_nothing_is_refused(threshold, votes):
    with pytest.raises(TtzoError):
        detection_of(threshold, votes)


def test_a_model_that_cannot_give_its_inputs_back_is_refused(folder):
    with pytest.raises(TtzoError, match="4 inputs and 3 outputs"):
        export(f"{folder / 'net.py'}:narrow", folder / "n", task="anomaly")
    with pytest.raises(TtzoError, match="not cross_entropy"):
        export(f"{folder / 'net.py'}:make", folder / "n", loss="cross_entropy")


def test_errors_become_alarms_and_an_area(folder):
    plan = export(f"{folder / 'net.py'}:make", folder / "e", threshold="percentile:50", votes="1/1")
    found = answers.of_errors(plan, np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 9.0, 2.0]), np.array([0, 0, 1, 1]))
    detected = found.detection
    assert detected.threshold == 2.0 and detected.auc == pytest.approx(3 / 4)
    assert (detected.found, detected.false_alarms) == (0.5, 0.5)
    assert answers.detection_of_plan(plan) == Detection("percentile", 50.0, 1, 1)


def test_a_detector_is_trained_measured_and_asked(folder):
    """On rows beside a line the error tells nearly all anomalies apart."""
    words = [
        "export",
        f"{folder / 'net.py'}:make",
        "-o",
        str(folder / "c"),
        "--data",
        str(folder / "table.csv"),
        "--json",
    ]
    assert CliRunner().invoke(main, words).exit_code == 0
    done = CliRunner().invoke(main, ["train", str(folder / "c"), "--device", "numpy:", "--steps", "300", "--json"])
    assert done.exit_code == 0, done.stderr
    page = json.loads(done.stdout)["test"]
    assert page["auc"] > 0.95 and page["detection"]["found"] > 0.7 and page["detection"]["false_alarms"] < 0.2
    words = ["predict", str(folder / "c"), "--device", "numpy:", "--data", str(folder / "table.csv"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    page = json.loads(done.stdout)
    assert page["heading"] == ["row", "error", "anomalous", "alarm"] and len(page["answers"]) == 900
    assert sum(line[3] == "yes" for line in page["answers"]) == sum(line[2] == "yes" for line in page["answers"])


@pytest.mark.parametrize(("name", "windows"), [("heartbeats", (20, 87)), ("bleeding", (24, 9))])
def test_recordings_are_windows_of_a_period(name, windows):
    """Of heartbeats three stretches of 100 rows are labelled, of bleeding one of 12; every fourth row begins a window."""
    if not wheel_files.is_installed("aeon"):
        pytest.skip(f"needs the package aeon: {recordings.INSTALL}")
    found = recordings.rows(name)
    numbers, anomalous = windows
    assert found.train[0].shape[1] == numbers and found.train[0].dtype == np.int16
    assert found.test[1].sum() == anomalous and not found.train[1].any() and not found.validation[1].any()
    assert abs(found.train[0].mean() / 4096) < 0.05
