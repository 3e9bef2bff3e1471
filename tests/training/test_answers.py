# SPDX-License-Identifier: MIT
"""What answers are worth: held against scikit-learn and closed forms, and shown on screen, in JSON and in the picture."""

import json
import struct

import numpy as np
import pytest
from click.testing import CliRunner

from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.training import answers

RNG = np.random.default_rng(0)


def test_confusion_recall_and_precision_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    y, outputs = RNG.choice(4, 300, p=[0.6, 0.2, 0.1, 0.1]), RNG.normal(0, 1, (300, 4))
    outputs[np.arange(300), y] += 1
    found, told = answers.of_classes(outputs, y, tuple("abcd")), outputs.argmax(1)
    assert np.array_equal(found.confusion, metrics.confusion_matrix(y, told))
    np.testing.assert_allclose(found.balanced_accuracy, metrics.balanced_accuracy_score(y, told), rtol=1e-12)
    precision, recall, _, rows = metrics.precision_recall_fscore_support(y, told)
    np.testing.assert_allclose([each.precision for each in found.classes], precision, rtol=1e-12)
    np.testing.assert_allclose([each.recall for each in found.classes], recall, rtol=1e-12)
    assert [each.rows for each in found.classes] == rows.tolist()


def test_a_class_without_rows_has_no_recall_and_does_not_lower_the_mean():
    found = answers.of_classes(np.eye(3)[[0, 1, 1]], np.array([0, 1, 0]), ("a", "b", "c"))
    assert found.classes[2].recall is None and found.classes[2].precision is None
    assert found.balanced_accuracy == 0.75  # 1/2 of a, all of b


@pytest.mark.parametrize("digits", [1, 9])  # with one digit many scores are equal
def test_the_area_under_the_curve_is_that_of_scikit_learn(digits):
    metrics = pytest.importorskip("sklearn.metrics")
    y = RNG.integers(0, 2, 400)
    scores = np.round(RNG.normal(y, 1.0), digits)
    np.testing.assert_allclose(answers.auc(scores, y == 1), metrics.roc_auc_score(y, scores), rtol=1e-12)


def test_the_area_under_the_curve_has_closed_forms():
    y = np.array([False, False, True, True])
    assert answers.auc(np.array([1, 2, 3, 4]), y) == 1 and answers.auc(np.array([4, 3, 2, 1]), y) == 0
    assert answers.auc(np.ones(4), y) == 0.5 and answers.auc(np.ones(2), np.array([True, True])) is None


def test_errors_of_numbers_are_those_of_scikit_learn_and_the_best_constant_has_r2_zero():
    metrics = pytest.importorskip("sklearn.metrics")
    y = RNG.normal([5, -2], [3, 1], (200, 2))
    outputs = y + RNG.normal(0, 0.5, y.shape)
    found = answers.of_numbers(outputs, y)
    np.testing.assert_allclose(
        found.rmse, metrics.root_mean_squared_error(y, outputs, multioutput="raw_values"), rtol=1e-12
    )
    np.testing.assert_allclose(found.r2, metrics.r2_score(y, outputs, multioutput="raw_values"), rtol=1e-12)
    constant = answers.of_numbers(np.broadcast_to(y.mean(0), y.shape), y)
    np.testing.assert_allclose(constant.r2, 0, atol=1e-12)
    np.testing.assert_allclose(constant.rmse, found.best_constant_rmse, rtol=1e-12)
    assert answers.of_numbers(np.zeros((3, 1)), np.ones((3, 1))).r2 == (None,)


# ---- through the commands --------------------------------------------------------------------------------------------


def ttzo(*words):
    done = CliRunner().invoke(main, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "m.py").write_text(
        "import torch\n"
        "def classes():\n    return torch.nn.Sequential(torch.nn.Linear(2, 3))\n"
        "def numbers():\n    return torch.nn.Sequential(torch.nn.Linear(2, 1)), {'loss': 'mse'}\n"
    )
    x = RNG.normal([1000, 0.001], [50, 0.0002], (120, 2))
    kind = np.digitize(x[:, 0], [980, 1020])
    words = np.array(["low", "mid", "top"], object)[kind]
    (tmp_path / "c.csv").write_text(
        "a,b,kind\n" + "".join(f"{a!r},{b!r},{k}\n" for (a, b), k in zip(x.tolist(), words, strict=True))
    )
    (tmp_path / "r.csv").write_text("a,b,y\n" + "".join(f"{a!r},{b!r},{3 * a + 7!r}\n" for a, b in x.tolist()))
    return tmp_path


def test_names_of_classes_come_back_on_screen_in_json_and_in_the_picture(model):
    pytest.importorskip("matplotlib")
    ttzo("export", f"{model}/m.py:classes", "-o", model / "out", "--estimator", "cge", "--lr", "0.5")
    words = (model / "out", "--device", "numpy:")
    shown = ttzo("train", *words, "--data", model / "c.csv", "--target", "kind", "--steps", 60).stdout
    assert all(word in shown for word in ("balanced accuracy", "validation", "by the class answered", "recall"))
    assert len([line for line in shown.splitlines() if line.startswith("low ")]) == 2  # in both tables
    page = json.loads(ttzo("eval", *words, "--json").stdout)  # data, target and names are the run's
    test = page["test"]
    assert [each["name"] for each in test["classes"]] == ["low", "mid", "top"]
    confusion = np.array(test["confusion"])
    assert confusion.sum() == test["rows"] == 24 and confusion.trace() == test["correct"]
    run = model / "out" / "runs" / "numpy"
    picture = ttzo("report", run)
    width, height = struct.unpack(">II", (run / "curves.png").read_bytes()[16:24])
    assert picture.exit_code == 0 and width > 2.5 * height  # a second panel stands beside the curves


def test_errors_are_told_in_the_targets_own_unit(model):
    ttzo("export", f"{model}/m.py:numbers", "-o", model / "out", "--estimator", "cge", "--data", model / "r.csv")
    page = json.loads(ttzo("train", model / "out", "--device", "numpy:", "--steps", 200, "--json").stdout)
    test = page["test"]
    assert test["r2"][0] > 0.99 and test["rmse"][0] < 0.1 * test["best_constant_rmse"][0]
    assert 100 < test["best_constant_rmse"][0] < 200  # 3 times a deviation of 50, of 24 rows
    assert test["targets"] == ["y"]
    shown = ttzo("eval", model / "out", "--device", "numpy:").stdout
    assert f"RMSE of `y` {test['rmse'][0]:.6g} in that column's unit" in " ".join(shown.split())


def test_a_class_by_position_trains_with_every_class_on_each_side(model):
    """Rows of class i mod 5: every fifth row for the test once made one class invisible to training."""
    y = np.arange(200) % 5
    x = RNG.normal(0, 0.3, (200, 5)) + np.eye(5)[y] * 3
    np.savetxt(model / "p.csv", np.column_stack([x, y]), delimiter=",")
    (model / "five.py").write_text("import torch\ndef net():\n    return torch.nn.Sequential(torch.nn.Linear(5, 5))\n")
    ttzo("export", f"{model}/five.py:net", "-o", model / "five", "--estimator", "cge", "--data", model / "p.csv")
    page = json.loads(ttzo("train", model / "five", "--device", "numpy:", "--steps", 100, "--json").stdout)
    assert page["test"]["accuracy"] == 1.0 and [each["rows"] for each in page["test"]["classes"]] == [8] * 5
