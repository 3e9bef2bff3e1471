# SPDX-License-Identifier: MIT
"""Adaptation: images of other domains are what their names say, a run begins from another's parameters, and learns."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from bundles import STEPS, small_plan, write_bundle
from click.testing import CliRunner

from ttzo.device_runtime.contract import Number, Region
from ttzo.exporter import adaptation
from ttzo.exporter.costs import memory
from ttzo.exporter.export import export, plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import data_set, domain_shifts, known_data, run_data
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training import adapt as adapting
from ttzo.host_tools.training import checkpoint, session


def image(**pixels: tuple[int, int, int]) -> np.ndarray:
    """One 7 x 7 image, a pixel (row, column, value) for each name."""
    made = np.zeros((7, 7), np.uint8)
    for row, column, value in pixels.values():
        made[row, column] = value
    return made.reshape(1, -1)


def test_a_moved_image_lies_three_pixels_further():
    assert np.array_equal(domain_shifts.moved(image(a=(0, 1, 9), b=(5, 5, 7))), image(a=(3, 4, 9)))


def test_an_inverted_image_inverted_is_the_image():
    x = np.random.default_rng(0).integers(0, 256, (3, 49)).astype(np.uint8)
    assert (
        np.array_equal(domain_shifts.inverted(domain_shifts.inverted(x)), x)
        and (domain_shifts.inverted(x) + x == 255).all()
    )


def test_a_turned_image_keeps_its_centre_and_turns_by_thirty_degrees():
    assert domain_shifts.rotated(image(a=(3, 3, 200)))[0, 24] == 200
    weights = domain_shifts.rotated(image(a=(3, 6, 200))).reshape(7, 7).astype(float)  # 3 to the right of the centre
    at = np.arange(7) - 3
    row, column = at @ weights.sum(1) / weights.sum(), at @ weights.sum(0) / weights.sum()
    # bilinear: the point's weight lies on pixels less than one away, its centre less than half of one
    assert np.hypot(row + 3 * np.sin(domain_shifts.ANGLE), column - 3 * np.cos(domain_shifts.ANGLE)) < 0.5


def test_noise_is_as_strong_as_it_says_and_the_same_every_time():
    x = np.full((40, 49), 128, np.uint8)
    made = domain_shifts.noisy(x)
    assert np.array_equal(made, domain_shifts.noisy(x))
    inside = (made > 0) & (made < 255)
    # half the range away is 1.25 standard deviations: 79 % stay inside, four sigma of 1960 draws are 3.7 %
    assert abs(inside.mean() - 0.789) < 0.037


@pytest.mark.parametrize("x", [np.zeros((2, 6), np.uint8), np.zeros((2, 4), np.float32)])
def test_rows_that_are_no_square_grey_images_are_refused(x):
    for change in domain_shifts.SHIFTS.values():
        with pytest.raises(DataError, match="square grey images"):
            change(x)


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_begins_from_another_runs_parameters_with_its_own_schedule(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", small_plan())
    rows = data_set.load(bundle / "rows.npz", small_plan())
    with open_device("numpy:", bundle) as device:
        session.train(device, rows, tmp_path / "first")
        first = checkpoint.load(tmp_path / "first" / "checkpoint.npz", device.plan)
        device.reset()
        device.load(first.parameters, np.zeros_like(first.moments), device.state())
        for step in range(STEPS):
            device.write_batch(rows.train_rows[session.batch_rows(7, step, 4, len(rows.x_train))])
            device.step(Region.batch)
        wanted = device.parameters()
        run = session.train(device, rows, tmp_path / "second", start=first)
        assert (run.step, run.resumed_from) == (STEPS, 0) and np.array_equal(device.parameters(), wanted)
        again = session.train(device, rows, tmp_path / "second", start=first)  # goes on: there is nothing left
        assert again.resumed_from == STEPS and np.array_equal(device.parameters(), wanted)


def ttzo(*words, code=0):
    done = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


def test_labelled_rows_are_drawn_by_the_seed_and_a_tenth_of_each_class_is_held_out():
    y = np.repeat([0, 1], [60, 40])
    x = np.arange(100, dtype=np.uint8).reshape(-1, 1)
    new = data_set.DataSet("new", x, y, x, y)
    made, again, other = (adapting.labelled(new, 50, seed) for seed in (3, 3, 4))
    held, kept = set(made.x_validation.ravel()), set(made.x_train.ravel())
    assert not held & kept and len(held | kept) == 50 and made.x_test is new.x_test
    assert all(y[row] == label for row, label in zip(made.x_train.ravel(), made.y_train, strict=True))
    for label in (0, 1):
        drawn = np.sum(made.y_train == label) + np.sum(made.y_validation == label)
        assert abs(np.sum(made.y_validation == label) - drawn / 10) <= 0.5
    assert np.array_equal(made.x_train, again.x_train) and set(other.x_train.ravel()) != kept
    assert all(len(adapting.labelled(new, n, 0).x_validation) for n in (2, 3, 100))


@pytest.mark.parametrize(("n", "hint"), [(101, "--rows 100"), (1, "--rows 10")])
def test_rows_that_are_not_there_or_cannot_be_divided_are_refused(n, hint):
    x, y = np.zeros((100, 1), np.uint8), np.zeros(100, np.int64)
    with pytest.raises(DataError) as caught:
        adapting.labelled(data_set.DataSet("new", x, y, x, y), n, 0)
    assert hint in caught.value.hint


def test_the_device_goes_back_where_the_held_out_rows_are_answered_worse(tmp_path):
    """Every training row has a wrong class, the held-out rows have the right ones."""
    bundle = write_bundle(tmp_path / "bundle", small_plan())
    good = data_set.load(bundle / "rows.npz", small_plan(), DataOptions(validation=0.2))
    wrong = dataclasses.replace(good, y_train=(good.y_train + 1) % 3)
    with open_device("numpy:", bundle) as device:
        session.train(device, good, tmp_path / "first", changes={"steps": 60})
        start = checkpoint.load(tmp_path / "first" / "checkpoint.npz", device.plan)
        found = adapting.adapt(
            device, wrong, start, tmp_path / "second", old=good, changes={"steps": 60, "lr": 0.5}, test_rows=100
        )
        assert found.went_back == adapting.START and found.after == found.before and found.run.step == 60
        assert found.run.validation.n_correct < found.before.held_out.n_correct
        assert np.array_equal(device.parameters(), start.parameters) and not device.moments().any()
        kept = checkpoint.load(tmp_path / "second" / "checkpoint.npz", device.plan)
        assert np.array_equal(kept.parameters, start.parameters) and kept.state == device.state()
        better = adapting.adapt(device, good, start, tmp_path / "third", changes={"steps": 60}, test_rows=100)
        assert better.went_back is None and better.before.old is None
        assert not np.array_equal(device.parameters(), start.parameters)


def test_the_device_goes_back_to_the_best_point_where_only_the_end_is_bad(tmp_path, monkeypatch):
    """The end is called worse than the start; the best point has a lower loss."""
    bundle = write_bundle(tmp_path / "bundle", small_plan())
    good = data_set.load(bundle / "rows.npz", small_plan(), DataOptions(validation=0.2))
    monkeypatch.setattr(adapting, "is_worse", lambda *_: True)
    with open_device("numpy:", bundle) as device:
        found = adapting.adapt(device, good, None, tmp_path / "run", changes={"steps": 60}, test_rows=100)
        best = checkpoint.load(tmp_path / "run" / "best.npz", device.plan)
        assert found.went_back == adapting.BEST and np.array_equal(device.parameters(), best.parameters)
        assert found.after.held_out.loss == pytest.approx(best.measured, rel=1e-6)


def test_the_last_layer_alone_is_trained_in_little_memory():
    plan = plan_of("watch")
    made = adaptation.last_layer_alone(plan)
    assert [node.frozen for node in made.graph.nodes] == [True, True, False]
    assert np.array_equal(made.parameters, plan.parameters[-7 * 121 :]) and adaptation.is_last_layer_alone(made)
    # a gradient, a query's parameters; losses and numbers of four rows; the rows themselves, 300 int16 and a class each;
    # what a row needs again is the last layer's input and output, and the queries' own arrays are a forward pass's; slopes
    # and changes of seven outputs; places of four arrays; roundings to 8 bytes
    numbers, rows = 7 * 121, 4 * 602
    least = 2 * 4 * numbers + 2 * 4 * 4 + rows
    assert least + 4 * (127 + 14) <= memory.beyond_inference(made) < least + 4 * (127 + 14) + 100 < 10 << 10
    with pytest.raises(PlanError, match="equation"):
        adaptation.last_layer_alone(plan_of("burgers"))


def test_one_export_answers_and_adapts_and_only_last_writes_the_same(tmp_path):
    bundle = write_bundle(tmp_path / "m", small_plan())
    words = ("--device", "numpy:", "--data", bundle / "rows.npz")
    trained = ttzo("train", bundle, *words, "--steps", 30)
    run = Path(trained["run"])
    ttzo("export", run, "--for-adaptation", "-o", tmp_path / "a")
    found = ttzo("adapt", tmp_path / "a", *words, "--rows", 20)
    assert found["before"]["test"]["loss"] == pytest.approx(trained["test"]["loss"], rel=1e-6)
    again = ttzo("adapt", run, *words, "--rows", 20, "--only", "last")
    assert again["after"] == found["after"] and again["beyond_inference_bytes"] == found["beyond_inference_bytes"]
    assert read_bundle(again["bundle"]).constants == read_bundle(tmp_path / "a").constants
    whole = ttzo("adapt", run, *words, "--rows", 20, "--run", tmp_path / "r")
    assert (whole["rows"], whole["bundle"]) == (20, str(bundle)) and whole["before"]["old"]["rows"] == 3
    assert whole["beyond_inference_bytes"] > found["beyond_inference_bytes"]
    assert "no run" in ttzo("export", "digits", "--for-adaptation", "-o", tmp_path / "b", code=3)["error"]


def table(path: Path, n: int, shift: float, kinds: tuple[str, ...]) -> Path:
    """Six columns of very different means; the kind of a row raises two of them."""
    rng = np.random.default_rng(n)
    y = rng.integers(0, len(kinds), n)
    x = rng.normal(0, 0.3, (n, 6)) + shift
    x[np.arange(n), 2 * y] += 3
    x[np.arange(n), 2 * y + 1] -= 3
    lines = [",".join(f"{value:.4f}" for value in row * 10 + np.arange(6) * 500) for row in x]
    named = (f"{line},{kinds[kind]}" for line, kind in zip(lines, y, strict=True))
    path.write_text("a,b,c,d,e,f,kind\n" + "\n".join(named))
    return path


def test_new_rows_of_a_table_are_treated_as_the_old_ones(tmp_path):
    """Names of classes and normalisation are those of the first table; what is held out comes from the labelled rows."""
    first = small_plan(learning_rate=0.05)
    plan = first.with_layers(first.layers, input_number=Number.float32, input_scale=1.0)
    bundle, kinds = write_bundle(tmp_path / "m", plan), ("walk", "run", "sit")
    old, new = table(tmp_path / "old.csv", 200, 0.0, kinds), table(tmp_path / "new.csv", 60, 1.0, kinds)
    trained = ttzo("train", bundle, "--device", "numpy:", "--data", old, "--steps", 60)
    found = ttzo("adapt", trained["run"], "--device", "numpy:", "--data", new)
    tested = found["before"]["test"]["rows"]
    assert found["rows"] + tested == 60 and 10 <= tested <= 14  # a fifth of each class, no row for validation
    assert 18 <= found["before"]["old"]["rows"] <= 22
    kept = [run_data.load(Path(each)) for each in (trained["run"], found["training"]["run"])]
    assert kept[0].labels == kept[1].labels == ("run", "sit", "walk") and kept[1].inputs == tuple("abcdef")
    assert np.array_equal(kept[0].normalisation.centre, kept[1].normalisation.centre)
    wanted = (np.loadtxt(new, delimiter=",", skiprows=1, usecols=range(6)) - kept[0].normalisation.centre).mean(0)
    assert (wanted > 5).all()  # the new table lies elsewhere, as its own mean would hide
    other = table(tmp_path / "other.csv", 60, 0.0, ("walk", "fly", "sit"))
    assert "`fly`" in ttzo("adapt", trained["run"], "--device", "numpy:", "--data", other, code=3)["error"]


def test_adapting_without_new_data_says_what_to_give(tmp_path):
    bundle = write_bundle(tmp_path / "m", small_plan())
    assert "--data NEW" in ttzo("adapt", bundle, "--device", "numpy:", code=3)["next"]


def test_a_bundle_that_is_adapted_as_exported_though_it_has_runs_is_said(tmp_path):
    bundle = write_bundle(tmp_path / "m", small_plan())
    (run := bundle / "runs" / "native").mkdir(parents=True)
    words = ["adapt", str(bundle), "--device", "numpy:", "--json"]
    assert "as exported" not in CliRunner().invoke(main, words).stderr
    (run / "checkpoint.npz").touch()
    said = " ".join(CliRunner().invoke(main, words).stderr.split())
    assert f"{bundle} is adapted as exported; its trained runs are {run}" in said


def test_a_digits_model_adapts_to_inverted_and_noisy_images(tmp_path):
    """Grey values are stretched to 255, as MNIST's; the small network learns them, then each shift, on the C runtime."""
    pytest.importorskip("sklearn")
    export("digits", tmp_path / "m", steps=200, input_scale=1 / 255)
    x_train, y_train, x_test, y_test = known_data.digits()
    stretched = [np.minimum(255, 16 * x.astype(int)) for x in (x_train, x_test)]
    np.savez(tmp_path / "d.npz", x_train=stretched[0], y_train=y_train, x_test=stretched[1], y_test=y_test)
    words = ("--data", tmp_path / "d.npz", "--device", "native:")
    trained = ttzo("train", tmp_path / "m", *words)
    assert trained["test"]["accuracy"] > 0.9
    for shift in ("invert", "noise"):
        found = ttzo("adapt", trained["run"], *words, "--shift", shift, "--rows", 600)
        before, after = (found[when]["test"]["accuracy"] for when in ("before", "after"))
        assert after > before + 0.05 and found["training"]["steps"] == 225  # 20 passes over 540 rows, 48 at a time
        assert found["before"]["old"]["accuracy"] == trained["validation"]["accuracy"]
