# SPDX-License-Identifier: MIT
"""Answers for rows: what the formula says, by the names and in the units that the model was trained with."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from bundles import arrays, small_plan, wave_plan, write_bundle
from click.testing import CliRunner
from devices import dense_plan

from ttzo.device_runtime.contract import ExitCode, LayerKind, Loss, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import data_set

LABELS = ["calm", "wind", "storm"]
CENTRE, SPREAD = [10.0, 20.0], [2.0, 5.0]
TARGET_CENTRE, TARGET_SPREAD = [100.0], [50.0]


def ttzo(*words, code=0):
    done = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


def bundle(folder, loss, preparation, n_in=2, n_out=3, **settings):
    """A bundle of one dense layer, and its weight and bias."""
    rng = np.random.default_rng(4)
    weight, bias = rng.normal(0, 1, (n_out, n_in)).astype(np.float32), rng.normal(0, 1, n_out).astype(np.float32)
    layer = Layer("fc", LayerKind.dense, n_in, n_out, 0, True)
    theta = np.concatenate([weight.ravel(), bias])
    metadata = {"preparation": preparation} if preparation else {}
    settings = {"batch": 4, "input_number": Number.float32, "metadata": metadata} | settings
    folder.mkdir()
    (folder / "model.ttzo").write_bytes(to_bundle.write(Plan.of_layers([layer], theta, loss, **settings)))
    return folder, weight.astype(float), bias.astype(float)


def weather(target=False):
    page = {
        "source": "w.csv",
        "options": {},
        "inputs": ["wind", "rain"],
        "normalisation": {"centre": CENTRE, "spread": SPREAD},
    }
    if target:
        return page | {"target_normalisation": {"centre": TARGET_CENTRE, "spread": TARGET_SPREAD}}
    return page | {"labels": LABELS}


ROWS = np.random.default_rng(5).normal(15, 6, (9, 2))


def table(path, names, columns):
    path.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in columns)]) + "\n")
    return path


@pytest.mark.parametrize("url", ["numpy:", "native:"])
def test_classes_have_names_and_columns_are_found_by_theirs(tmp_path, url):
    folder, weight, bias = bundle(tmp_path / "b", Loss.cross_entropy, weather())
    columns = [(i, r, "words", w) for i, (w, r) in enumerate(ROWS)]
    data = table(tmp_path / "new.csv", ["number", "rain", "remark", "wind"], columns)
    answer = ttzo("predict", folder, "--device", url, "--data", data, "-o", tmp_path / "out.csv")
    scores = (ROWS - CENTRE) / SPREAD @ weight.T + bias
    share = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert [line[:2] for line in answer["answers"]] == [
        [f"line {i + 2}", LABELS[k]] for i, k in enumerate(scores.argmax(1))
    ]
    assert np.allclose([line[2] for line in answer["answers"]], share.max(1), atol=1e-5)
    lines = list(csv.reader((tmp_path / "out.csv").open()))
    assert lines[0] == ["line", "number", "remark", "class", "probability"] and len(lines) == 10
    assert [line[:4] for line in lines[1:]] == [
        [str(i + 2), str(i), "words", LABELS[k]] for i, k in enumerate(scores.argmax(1))
    ]


def test_answers_of_a_file_with_decimal_commas_have_them_too_and_a_column_called_like_an_answer_stays_apart(tmp_path):
    folder, weight, bias = bundle(tmp_path / "b", Loss.mse, weather(target=True), n_out=1)
    text = [f"2.{3 + i}.26;{w:.3f};{r:.3f};{i}" for i, (w, r) in enumerate(ROWS)]
    (tmp_path / "new.csv").write_text("day;wind;rain;answer\n" + "\n".join(text).replace(".", ",") + "\n")
    ttzo("predict", folder, "--device", "numpy:", "--data", tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    lines = list(csv.reader((tmp_path / "out.csv").open(), delimiter=";"))
    wanted = ((np.round(ROWS, 3) - CENTRE) / SPREAD @ weight.T + bias) * TARGET_SPREAD + TARGET_CENTRE
    assert lines[0] == ["line", "day", "answer (file)", "answer"]
    assert [line[:3] for line in lines[1:]] == [[str(i + 2), f"2,{3 + i},26", str(i)] for i in range(len(ROWS))]
    assert np.allclose([float(line[3].replace(",", ".")) for line in lines[1:]], wanted[:, 0], rtol=1e-5)


def test_numbers_come_in_the_targets_own_unit_and_a_target_column_is_not_looked_at(tmp_path):
    folder, weight, bias = bundle(tmp_path / "b", Loss.mse, weather(target=True), n_out=1)
    data = table(tmp_path / "new.csv", ["wind", "rain", "height"], [(*row, "") for row in ROWS])
    answer = ttzo("predict", folder, "--device", "numpy:", "--data", data)
    wanted = ((ROWS - CENTRE) / SPREAD @ weight.T + bias) * TARGET_SPREAD + TARGET_CENTRE
    assert answer["heading"] == ["row", "answer"]
    assert np.allclose([line[1] for line in answer["answers"]], wanted[:, 0], rtol=1e-5)


@pytest.mark.parametrize("width", [2, 3])
def test_without_names_the_columns_are_taken_in_their_order_with_or_without_targets(tmp_path, width):
    folder, weight, bias = bundle(tmp_path / "b", Loss.mse, None, n_out=1)
    path = tmp_path / "new.csv"
    path.write_text("".join(",".join(map(str, [*row, 7.0][:width])) + "\n" for row in ROWS))
    found = ttzo("predict", folder, "--device", "numpy:", "--data", path)["answers"]
    assert np.allclose([line[1] for line in found], (ROWS @ weight.T + bias)[:, 0], rtol=1e-5)
    np.savez(tmp_path / "new.npz", x=ROWS)
    again = ttzo("predict", folder, "--device", "numpy:", "--data", tmp_path / "new.npz")["answers"]
    assert [line[1] for line in again] == [line[1] for line in found] and again[3][0] == "x[3]"


def test_windows_are_cut_as_in_training_and_called_by_their_first_row(tmp_path):
    page = weather() | {"options": {"window": 3, "hop": 2}}
    folder, weight, bias = bundle(tmp_path / "b", Loss.cross_entropy, page, n_in=6)
    data = table(tmp_path / "new.csv", ["wind", "rain"], ROWS)
    found = ttzo("predict", folder, "--device", "numpy:", "--data", data)["answers"]
    x = (ROWS - CENTRE) / SPREAD
    wanted = [(x[at : at + 3].T.ravel() @ weight.T + bias).argmax() for at in (0, 2, 4, 6)]
    assert [line[:2] for line in found] == [
        [f"line {2 + at}", LABELS[k]] for at, k in zip((0, 2, 4, 6), wanted, strict=True)
    ]


def test_one_logit_answers_the_second_class_where_it_is_above_0(tmp_path):
    page = weather() | {"labels": ["calm", "storm"]}
    folder, weight, bias = bundle(tmp_path / "b", Loss.binary_cross_entropy, page, n_out=1)
    data = table(tmp_path / "new.csv", ["wind", "rain"], ROWS)
    found = ttzo("predict", folder, "--device", "numpy:", "--data", data)["answers"]
    logits = ((ROWS - CENTRE) / SPREAD @ weight.T + bias)[:, 0]
    assert [line[1] for line in found] == ["storm" if logit > 0 else "calm" for logit in logits]
    assert np.allclose([line[2] for line in found], 1 / (1 + np.exp(-np.abs(logits))), atol=1e-5)


@pytest.mark.parametrize("url", ["numpy:", "native:"])
def test_more_outputs_than_a_frame_holds_come_in_pieces(tmp_path, url):
    folder, weight, bias = bundle(tmp_path / "b", Loss.mse, None, n_out=640)
    np.savez(tmp_path / "new.npz", x=ROWS)
    found = ttzo("predict", folder, "--device", url, "--data", tmp_path / "new.npz")
    assert found["heading"][-1] == "answer 640"
    assert np.allclose([line[1:] for line in found["answers"]], ROWS @ weight.T + bias, rtol=1e-5, atol=1e-5)


def test_a_lacking_number_is_refused_dropped_or_filled(tmp_path):
    page = weather() | {"fill": [10.0, 20.0]}
    folder, weight, bias = bundle(tmp_path / "b", Loss.cross_entropy, page)
    data = table(tmp_path / "new.csv", ["wind", "rain"], [(1, 2), ("", 3), (4, 5)])
    words = ("predict", folder, "--device", "numpy:", "--data", data)
    assert "line 3" in ttzo(*words, code=ExitCode.input)["error"]
    assert [line[0] for line in ttzo(*words, "--missing", "drop")["answers"]] == ["line 2", "line 4"]
    filled = ttzo(*words, "--missing", "mean")["answers"]
    scores = (np.array([10.0, 3.0]) - CENTRE) / SPREAD @ weight.T + bias
    assert filled[1][1] == LABELS[scores.argmax()]


def test_what_cannot_be_answered_is_a_sentence(tmp_path):
    folder, *_ = bundle(tmp_path / "b", Loss.cross_entropy, weather())
    words = ("predict", folder, "--device", "numpy:", "--data")
    for name, content, says in (
        ("a.csv", "wind,snow\n1,2\n3,4\n", "has no column `rain`"),
        ("b.csv", "wind,rain\n1,much\n3,4\n", "holds `much`, which is not a number"),
        ("c.csv", "1\n2\n3\n", "1 numbers a row"),
    ):
        (tmp_path / name).write_text(content)
        assert says in ttzo(*words, tmp_path / name, code=ExitCode.input)["error"]
    np.savez(tmp_path / "d.npz", y=ROWS)
    assert "holds no numbers called x" in ttzo(*words, tmp_path / "d.npz", code=ExitCode.input)["error"]
    assert "there is no data set" in ttzo(*words, tmp_path / "none.csv", code=ExitCode.input)["error"]
    (tmp_path / "e.csv").write_text("wind,rain\n1,2\n")
    refused = ttzo(*words, tmp_path / "e.csv", "--run", tmp_path / "none", code=ExitCode.input)
    assert "there is no checkpoint" in refused["error"]


def test_tokens_that_the_model_does_not_know_are_refused(tmp_path):
    from ttzo.device_runtime.contract import Combine
    from ttzo.exporter.operations.gathering import Tokens

    layer = Layer("e", LayerKind.dense, 5, 2, 0, False, gather=Tokens(3, Combine.mean, None))
    plan = Plan.of_layers([layer], np.zeros(10, np.float32), Loss.cross_entropy, batch=2)
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(dataclasses.replace(plan, metadata={})))
    (tmp_path / "t.csv").write_text("0,1,2\n3,4,5\n")
    refused = ttzo("predict", tmp_path, "--device", "numpy:", "--data", tmp_path / "t.csv", code=ExitCode.input)
    assert "has the token 5" in refused["error"]


@pytest.mark.parametrize("name", ["predict", "eval"])
def test_the_only_run_of_another_device_answers_and_is_named(tmp_path, name):
    write_bundle(tmp_path, small_plan())
    trained = ttzo("train", tmp_path, "--device", "numpy:", "--data", tmp_path / "rows.npz", "--steps", 2)["test"]
    words = [name, str(tmp_path), "--device", "native:", "--data", str(tmp_path / "rows.npz"), "--json"]
    done = CliRunner().invoke(main, words)
    found, own = json.loads(done.stdout), tmp_path / "runs" / "numpy"
    assert found["parameters"] == f"checkpoint {own / 'checkpoint.npz'}, step 2"
    assert f"native: has no run of its own: {own} answers" in " ".join(done.stderr.split())
    assert name == "predict" or found["test"]["loss"] == trained["loss"]
    done = CliRunner().invoke(main, [*words, "--exported"])
    assert json.loads(done.stdout)["parameters"] == "as exported" and "answers" not in done.stderr
    shutil.copytree(own, tmp_path / "runs" / "second")
    done = CliRunner().invoke(main, words)
    assert json.loads(done.stdout)["parameters"].startswith("as exported") and "there are 2 others" in done.stderr


def test_answers_at_points_are_written_with_their_coordinates(tmp_path):
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(wave_plan()))
    points, out = tmp_path / "points.csv", tmp_path / "out.csv"
    points.write_text("x,t\n0.25,0\n0.50,0.125\n")
    found = ttzo("predict", tmp_path, "--device", "numpy:", "--data", points, "-o", out)["answers"]
    heading, *lines = csv.reader(out.read_text().splitlines())
    assert heading == ["line", "x", "t", "answer"]
    assert [line[:3] for line in lines] == [["2", "0.25", "0"], ["3", "0.50", "0.125"]]
    assert [float(line[3]) for line in lines] == pytest.approx([value for _, value in found], rel=1e-8)


@pytest.mark.parametrize("prepared", [False, True], ids=["named", "exported with its data"])
def test_a_run_is_measured_and_goes_on_with_its_own_data_not_with_the_models(tmp_path, prepared):
    """The model names other data than the run was trained on, as one of the zoo does."""
    np.savez(tmp_path / "other.npz", **arrays(40, seed=5))
    told = {"data": str(tmp_path / "other.npz")}
    if prepared:
        told["preparation"] = data_set.load(tmp_path / "other.npz", small_plan()).preparation.as_json()
    plan = small_plan()
    write_bundle(tmp_path, dataclasses.replace(plan, metadata=plan.metadata | told))
    words = tmp_path, "--device", "numpy:"
    trained = ttzo("train", *words, "--data", tmp_path / "rows.npz", "--steps", 2, "--validation", 0.2)
    assert ttzo("eval", *words)["test"] == trained["test"]
    assert ttzo("eval", *words, "--data", tmp_path / "other.npz")["test"] != trained["test"]
    ttzo("export", tmp_path / "runs" / "numpy", "-o", tmp_path / "shipped")
    assert ttzo("eval", tmp_path / "shipped", "--device", "numpy:")["test"] == trained["test"]
    assert ttzo("train", *words, "--steps", 3)["resumed_from"] == 2
    assert ttzo("train", *words, "--steps", 2, "--restart")["test"] != trained["test"]  # anew: on the model's data


def test_a_run_of_another_model_lends_no_data(tmp_path):
    write_bundle(tmp_path, small_plan())
    words = tmp_path, "--device", "numpy:"
    ttzo("train", *words, "--data", tmp_path / "rows.npz", "--steps", 1)
    other = dataclasses.replace(small_plan(seed=8), metadata={"data": str(tmp_path / "other.npz")})
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(other))
    np.savez(tmp_path / "other.npz", **arrays(40, seed=5))
    assert "belongs to another model" in ttzo("eval", *words, code=ExitCode.input)["error"]
    assert (
        ttzo("eval", *words, "--exported")["test"]["rows"]
        == ttzo("eval", *words, "--exported", "--data", tmp_path / "other.npz")["test"]["rows"]
    )


def test_a_file_of_a_run_that_is_not_here_is_named_with_its_run(tmp_path):
    write_bundle(tmp_path, small_plan())
    words = tmp_path, "--device", "numpy:"
    ttzo("train", *words, "--data", tmp_path / "rows.npz", "--steps", 1)
    (tmp_path / "rows.npz").rename(tmp_path / "away.npz")
    refused = ttzo("eval", *words, code=ExitCode.input)
    assert "was trained on" in refused["error"] and "rows.npz, which is not here" in refused["error"]
    assert ttzo("eval", *words, "--data", tmp_path / "away.npz")["test"]["rows"] == 10


def test_classes_of_words_are_not_numbered_anew_for_a_model_that_knows_a_data_sets_numbers(tmp_path):
    """Eight, five, four, .. in the order of the alphabet were 0, 1, 2, .. to a model that had learned digits."""
    pytest.importorskip("sklearn")
    plan = dense_plan(64, 8, 10)
    write_bundle(tmp_path, dataclasses.replace(plan, metadata=plan.metadata | {"data": "digits"}))
    words = tmp_path, "--device", "numpy:"
    trained = ttzo("train", *words, "--steps", 1, "--validation", 0.1, "--split-seed", 3)
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    lines = [",".join(["1"] * 64 + [name]) for name in names * 3]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    for option in ("--data", "--test"):
        refused = ttzo("eval", *words, option, tmp_path / "mine.csv", code=ExitCode.input)
        assert "the class `zero`, the model knows the numbers 0 to 9" in refused["error"]
    assert ttzo("eval", *words)["test"] == trained["test"]
    assert ttzo("train", *words, "--steps", 2)["resumed_from"] == 1  # with the same rows to validate on
    anew = ttzo("train", *words, "--data", tmp_path / "mine.csv", "--from", tmp_path / "runs" / "numpy", "--steps", 1)
    assert {each["name"] for each in anew["test"]["classes"]} == set(names)  # who trains on words learns words
