# SPDX-License-Identifier: MIT
"""Columns to centre 0 and spread 1 by the training rows; windows of a time series; both kept with the run or the bundle."""

import json

import numpy as np
import pytest

from ttzo.device_runtime.contract import LayerKind, Loss, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import cut_windows, data_set, normalise, run_data
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.prepare_rows import Preparation

RNG = np.random.default_rng(0)


def plan_for(n_in, n_out=2, loss=Loss.cross_entropy, number=Number.float32, scale=1.0, **metadata) -> Plan:
    layer = Layer("fc", LayerKind.dense, n_in, n_out, 0)
    theta = np.zeros(layer.n_parameters, np.float32)
    return Plan.of_layers((layer,), theta, loss, input_number=number, input_scale=scale, metadata=metadata)


def write(path, array, heading=""):
    np.savetxt(path, array, delimiter=",", header=heading, comments="", fmt="%.17g")
    return path


# ---- fitting ---------------------------------------------------------------------------------------------------------


def test_standard_gives_mean_zero_and_deviation_one():
    x = RNG.normal([1e6, -3, 0.5], [0.1, 40, 1e-4], (500, 3))
    z = normalise.fit(x, "standard").apply(x)
    # the mean of 500 numbers near 1e6 is off by at most 1e6 * 500 * 2^-53 = 5.6e-8, in deviations of 0.1 6e-7
    np.testing.assert_allclose(z.mean(0), 0, atol=6e-7)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-9)


def test_robust_is_not_moved_by_outliers_and_agrees_with_the_deviation_of_normal_numbers():
    x = RNG.normal(5, 2, (4000, 1))
    x[:100] = 1e9
    found = normalise.fit(x, "robust")
    # quartiles of 3900 normal numbers: standard error 1.36 * 2 / sqrt(3900) = 0.044 each; 100 outliers move them by 0.03
    np.testing.assert_allclose([found.centre[0], found.spread[0]], [5, 2], atol=0.25)


def test_a_constant_column_stays_finite():
    x = np.column_stack([np.full(50, 0.1), RNG.normal(0, 1, 50), np.repeat([0.0, 7.0], [45, 5])])
    for kind in ("standard", "robust"):
        z = normalise.fit(x, kind).apply(x)
        assert np.isfinite(z).all() and np.abs(z[:, 0]).max() < 1e-12 and z[:, 2].std() > 0.5


def test_a_small_signal_on_a_large_offset_keeps_its_digits(tmp_path):
    """Pressure in pascals, 101325 with a swing of 0.01: float32 has steps of 0.008 there."""
    signal = RNG.normal(0, 0.01, 400)
    path = write(tmp_path / "p.csv", np.column_stack([101325 + signal, signal > 0]))
    made = data_set.load(path, plan_for(1))
    z = np.concatenate([made.x_train, made.x_validation, made.x_test])[:, 0]
    wanted = np.sort(signal / signal.std())
    assert np.abs(np.sort(z) - wanted).max() < 0.3  # mean and deviation of 280 rows: 5 and 4 % off, at three sigma
    assert len(np.unique(z)) == 400
    at = np.searchsorted(np.sort(z), 0)
    assert abs(at - (signal <= 0).sum()) < 60


def test_only_training_rows_are_fitted_on(tmp_path):
    x, y = RNG.normal(3, 2, (100, 2)), np.arange(100) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x * 1e6, y_test=y)
    made = data_set.load(tmp_path / "a.npz", plan_for(2), DataOptions(validation=0.0))
    np.testing.assert_allclose(made.preparation.normalisation.centre, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(made.x_test, (x * 1e6 - x.mean(0)) / x.std(0), rtol=1e-6)  # float32


def test_targets_of_a_regression_are_normalised_too(tmp_path):
    x = RNG.normal(0, 1, (200, 1))
    path = write(tmp_path / "r.csv", np.column_stack([x, 5000 + 300 * x]))
    made = data_set.load(path, plan_for(1, 1, Loss.mse))
    assert abs(made.y_train.mean()) < 1e-6 and abs(made.y_train.std() - 1) < 1e-5
    undo = made.preparation.target_normalisation
    assert np.abs(np.sort(undo.undo(made.y_test)[:, 0]) - 5000).max() < 300 * 5


@pytest.mark.parametrize("plan", [plan_for(2, scale=0.5), plan_for(2, number=Number.uint8)])
def test_a_model_with_a_scale_of_its_own_gets_rows_as_they_are(tmp_path, plan):
    x = RNG.integers(0, 200, (60, 2))
    made = data_set.load(write(tmp_path / "a.csv", np.column_stack([x, x[:, 0] > 100])), plan)
    assert made.preparation.normalisation is None and set(made.x_train[:, 0]) <= set(x[:, 0])


def test_normalised_sensors_travel_as_int16_that_the_device_scales_back(tmp_path):
    x = RNG.normal([20, -500], [0.5, 90], (300, 2))
    x[0, 0] = 2000.0  # far away: cut off, and said
    path = write(tmp_path / "a.csv", np.column_stack([x, np.arange(300) % 2]))
    plan = plan_for(2, number=Number.int16, scale=2.0**-12)
    made = data_set.load(path, plan, DataOptions(normalise="robust"))
    assert made.x_train.dtype == np.dtype("<i2") and made.train_rows.shape[1] == plan.row_bytes
    every = np.vstack([made.x_train, made.x_validation, made.x_test]) * 2.0**-12
    wanted = made.preparation.normalisation.apply(x)
    wanted = np.clip(wanted, -8, 32767 / 4096)
    np.testing.assert_allclose(np.sort(every, axis=0), np.sort(wanted, axis=0), atol=2.0**-13 * 1.001)
    assert any("cut off" in note for note in made.notes)
    with pytest.raises(DataError, match="lose their digits"):
        data_set.load(path, plan_for(2, number=Number.int16), DataOptions(normalise="standard"))


# ---- the preparation is kept -----------------------------------------------------------------------------------------


def test_a_preparation_survives_its_file_to_the_last_bit(tmp_path):
    names = np.array(["walk", "run"], object)[np.arange(80) % 2]
    lines = ["ax,ay,kind"] + [
        f"{a!r},{b!r},{k}" for (a, b), k in zip(RNG.normal(9, 3, (80, 2)).tolist(), names, strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    first = data_set.load(tmp_path / "t.csv", plan_for(2), DataOptions(target="kind"))
    run_data.save(tmp_path, first.preparation)
    known = run_data.load(tmp_path)
    again = data_set.load(tmp_path / "t.csv", plan_for(2), None, known)
    assert again.checksum == first.checksum and again.labels == ("run", "walk")
    assert np.array_equal(again.x_test, first.x_test)
    by_bundle = data_set.load(tmp_path / "t.csv", plan_for(2, preparation=json.loads(json.dumps(known.as_json()))))
    assert by_bundle.checksum == first.checksum


def test_later_rows_get_the_treatment_of_the_first_ones_whatever_their_own_mean_and_order_of_columns(tmp_path):
    x = RNG.normal([10, 20], [1, 2], (100, 2))
    path = write(tmp_path / "t.csv", np.column_stack([x, np.arange(100) % 2]), "a,b,kind")
    known = data_set.load(path, plan_for(2)).preparation
    other = write(tmp_path / "new.csv", np.column_stack([np.arange(5) % 2, x[:5, 1] + 7, x[:5, 0]]), "kind,b,a")
    options = DataOptions(test=str(other), target="kind")
    made = data_set.load(None, plan_for(2), options, known, only_test=True)
    assert made.name == str(other) and made.notes[0] == f"{other}: 5 rows test"
    centre, spread = known.normalisation.centre, known.normalisation.spread
    np.testing.assert_allclose(made.x_test, (x[:5] + [0, 7] - centre) / spread, rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match="has no column `b`"):
        bad = write(tmp_path / "bad.csv", x[:5], "a,kind")
        data_set.load(None, plan_for(2), DataOptions(test=str(bad), target="kind"), known, only_test=True)


@pytest.mark.parametrize("only_test", [True, False])
def test_rows_are_counted_under_the_name_of_the_file_that_holds_them(tmp_path, only_test):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("".join(f"{k},{'up' if k % 2 else 'down'}\n" for k in range(40)))
    second.write_text("".join(f"{k},{'up' if k % 2 else 'down'}\n" for k in range(24)))
    options = DataOptions(test=str(second), validation=0.25)
    for known in (None, data_set.load(first, plan_for(1)).preparation):
        made = data_set.load(first, plan_for(1), options, known, only_test=only_test)
        is_read = known is None or not only_test  # what was fitted to the first file is known: it need not be there
        of_first = f"{first}: 30 rows train, 10 rows validate; " if is_read else ""
        assert f"{of_first}{second}: 24 rows test" in made.notes
        assert made.name == str(second if only_test else first)


def test_a_class_that_the_model_does_not_know_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("".join(f"{k},{'up' if k % 2 else 'down'}\n" for k in range(20)))
    known = data_set.load(tmp_path / "a.csv", plan_for(1)).preparation
    (tmp_path / "b.csv").write_text("1,up\n2,sideways\n")
    with pytest.raises(DataError, match="line 2 has the class `sideways`, the model knows down, up"):
        data_set.load(None, plan_for(1), DataOptions(test=str(tmp_path / "b.csv")), known, only_test=True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"options": {"what": 1}}', '{"options": {}, "normalisation": {"centre": [1]}}']
)
def test_a_damaged_preparation_is_named(tmp_path, text):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(DataError) as caught:
        run_data.load(tmp_path)
    assert caught.value.hint
    assert run_data.load(tmp_path / "nowhere") is None


def test_the_page_of_a_preparation_holds_nothing_that_was_not_given():
    assert Preparation().as_json() == {"source": "", "options": {}}


# ---- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_holds_its_channels_one_after_the_other():
    x = np.arange(12).reshape(6, 2)  # channel 0: 0 2 4 6 8 10, channel 1: 1 3 5 ..
    first = cut_windows.starts(np.zeros(6, int), 3, 2)
    assert first.tolist() == [0, 2]
    assert cut_windows.cut(x, first, 3).tolist() == [[0, 2, 4, 1, 3, 5], [4, 6, 8, 5, 7, 9]]


def test_no_window_goes_from_one_recording_into_the_next():
    segments = cut_windows.segments_of(np.array(list("aaaaabbbb")), np.array([1, 1, 1, 1, 2, 2, 2, 2, 2]))
    assert segments.tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert cut_windows.starts(segments, 3, 1).tolist() == [0, 1, 5, 6]


def test_a_part_that_is_shorter_than_a_window_has_none_and_that_is_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,kind\n" + "".join(f"{k},{2 * k},{k // 50}\n" for k in range(100)))
    made = data_set.load(path, plan_for(30), DataOptions(window=15))  # of 100 rows 10 validate and 20 test
    assert made.n_validation == 0 and len(made.x_test) == 1
    assert any("no window of 15 rows fits into a recording's validation rows" in note for note in made.notes)
    with pytest.raises(DataError, match="there is no window of 30 rows to test on"):
        data_set.load(path, plan_for(60), DataOptions(window=30))


def test_the_class_of_a_window_is_that_of_most_rows_or_of_the_last():
    classes, first = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 3])
    assert cut_windows.label(classes, first, 3, "majority").tolist() == [0, 1, 1]
    assert cut_windows.label(classes, first, 3, "last").tolist() == [1, 1, 2]


@pytest.mark.parametrize("group", [None, "person"])
def test_windows_of_one_recording_share_no_row_between_the_parts(tmp_path, group):
    """300 rows of each of two classes for each of six persons; the first channel numbers the rows."""
    n = 12 * 300
    person, kind = np.repeat(np.arange(6), 600), np.tile(np.repeat([0, 1], 300), 6)
    path = write(
        tmp_path / "w.csv", np.column_stack([np.arange(n), RNG.normal(0, 1, n), person, kind]), "t,x,person,kind"
    )
    options = DataOptions(window=20, hop=5, group=group, ignore=None if group else "person", normalise="none")
    made = data_set.load(path, plan_for(40), options)
    rows = [set(part[:, :20].astype(int).ravel().tolist()) for part in (made.x_train, made.x_validation, made.x_test)]
    assert all(rows) and not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])
    for part in (made.x_train, made.x_validation, made.x_test):
        assert (np.diff(part[:, :20], axis=1) == 1).all()  # rows that follow each other
    for y in (made.y_train, made.y_validation, made.y_test):
        assert set(y) == {0, 1}
    if group:
        persons = [{row // 600 for row in part} for part in rows]
        assert sum(map(len, persons)) == 6


def test_windows_are_normalised_channel_by_channel_and_keep_gaps_apart(tmp_path):
    n = 400
    x = np.column_stack([RNG.normal(100, 3, n), RNG.normal(-5, 0.1, n)])
    x[200, 0] = np.nan
    path = write(tmp_path / "w.csv", np.column_stack([x, np.repeat([0, 1], n // 2)]), "a,b,kind")
    made = data_set.load(path, plan_for(16), DataOptions(window=8, hop=8, missing="drop", validation=0.0))
    assert len(made.preparation.normalisation.centre) == 2
    for channel in (slice(0, 8), slice(8, 16)):
        assert abs(made.x_train[:, channel].mean()) < 0.05 and abs(made.x_train[:, channel].std() - 1) < 0.05


def test_a_window_of_another_size_than_the_model_is_told(tmp_path):
    path = write(tmp_path / "w.csv", np.column_stack([RNG.normal(0, 1, (50, 2)), np.zeros(50)]))
    with pytest.raises(DataError, match="2 columns in windows of 5 rows are 10 numbers, the model needs 12"):
        data_set.load(path, plan_for(12), DataOptions(window=5))


def test_raw_and_standardised_columns_become_the_same_rows(tmp_path):
    """Columns as wine's: 0.1 to 1,700. Whoever standardises by hand, over all rows, changes nothing."""
    x = RNG.normal([13, 2.3, 750, 0.36], [0.8, 1.1, 315, 0.12], (178, 4))
    kind = np.arange(178) % 2
    raw = data_set.load(write(tmp_path / "raw.csv", np.column_stack([x, kind])), plan_for(4))
    by_hand = (x - x.mean(0)) / x.std(0)
    same = data_set.load(write(tmp_path / "z.csv", np.column_stack([by_hand, kind])), plan_for(4))
    np.testing.assert_allclose(raw.x_train, same.x_train, atol=1e-6)  # float32, numbers below 5
    np.testing.assert_allclose(raw.x_test, same.x_test, atol=1e-6)
