# SPDX-License-Identifier: MIT
"""The sensors' data sets: files of other packages are believed only with their checksum, and become the rows that the
documentation promises."""

import hashlib
import io
import pickle
import sys

import numpy as np
import pytest

from ttzo.exporter import zoo
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.host_tools.data import appliances, data_set, known_data, series, time_series, watch, wheel_files
from ttzo.host_tools.data.data_error import DataError

needs_watch = pytest.mark.skipif(
    not wheel_files.is_installed("seglearn"), reason=f"needs the package seglearn: {watch.INSTALL}"
)
needs_series = pytest.mark.skipif(
    not wheel_files.is_installed("sktime"), reason=f"needs the package sktime: {series.INSTALL}"
)


# ---- files of wheels -------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that raises when it is imported, with a data file."""
    folder = tmp_path / "sensor_rows_for_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('imported')")
    (folder / "rows.txt").write_bytes(b"1 2 3")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return folder.name


def test_a_wheels_file_is_read_without_importing_the_package(package):
    sha256 = hashlib.sha256(b"1 2 3").hexdigest()
    assert wheel_files.read(package, "rows.txt", sha256, "pip install it") == b"1 2 3"


def test_another_file_a_missing_one_and_a_missing_package_are_refused_with_the_command_that_helps(package):
    for name, path, message in (
        (package, "rows.txt", "has SHA-256"),
        (package, "other.txt", "without other.txt"),
        ("no_such_package_at_all", "rows.txt", "is not installed"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            wheel_files.read(name, path, "0" * 64, "pip install it")
        assert "pip install it" in caught.value.hint


# ---- time series -----------------------------------------------------------------------------------------------------


def test_cases_of_a_ts_file_are_channels_by_time_with_their_class():
    cases, classes = time_series.parse("# 1,2:x\n@relation a\n@data\n1,2,3:4,5,6:walk\n\n7:8:run\n", "a.ts")
    assert [case.tolist() for case in cases] == [[[1, 2, 3], [4, 5, 6]], [[7], [8]]] and classes == ["walk", "run"]


@pytest.mark.parametrize("text", ["", "@data\n", "@data\n1,x:2,3:run", "@data\n1,2:3:run", "1,2:3,4:run"])
def test_a_ts_file_without_whole_cases_is_refused(text):
    with pytest.raises(DataError, match=r"a\.ts"):
        time_series.parse(text, "a.ts")


def test_stretching_keeps_both_ends_and_straight_lines():
    case = np.array([[0.0, 1, 2], [5, 3, 1]])
    assert np.allclose(series.stretched(case, 5), [[0, 0.5, 1, 1.5, 2], [5, 4, 3, 2, 1]])


@needs_series
@pytest.mark.parametrize(
    ("name", "train", "test", "numbers"),
    [("motions", 40, 40, 600), ("vowels", 270, 370, 72), ("power", 67, 1029, 24)],
)
def test_series_have_the_published_numbers_of_cases(name, train, test, numbers):
    found = series.rows(name)
    assert found.train[0].shape == (train, numbers) and found.test[0].shape == (test, numbers)
    assert found.labels is not None and set(found.test[1]) == set(range(len(found.labels)))
    assert np.abs(found.train[0].astype(int)).max() < 32767  # nothing is cut off


# ---- appliances ------------------------------------------------------------------------------------------------------


def switched_on(first: int, size: float, unit: float) -> np.ndarray:
    """40 periods, the first `first` of them noise of 0.001; then a peak of three times `size` and a second harmonic."""
    t = np.arange(200)
    shape = 1 + 0.2 * np.cos(2 * np.pi * t / 5) + 0.1 * np.cos(4 * np.pi * t / 5)
    level = np.where(t < 5 * first, 0, size * np.where(t < 5 * first + 5, 3, 1))
    return unit * (level * shape + 0.001 * np.cos(1.7 * t))


def test_features_of_a_case_are_those_of_its_formula():
    found = appliances.features(switched_on(6, 2.0, 1.0))
    assert len(found) == appliances.N_FEATURES
    end, has_begin, noise, _, _, peak, on, n, begins, rise = found[:10]
    assert end == pytest.approx(np.log(2), abs=0.01) and peak == pytest.approx(np.log(3), abs=0.01)
    assert (has_begin, on, n, begins, rise) == (1, 6, 40, 6, 0)
    assert noise == pytest.approx(np.log(2 / (0.001 / np.sqrt(2))), abs=0.1)  # of a cosine's deviation
    h1, h2 = found[13:15]
    assert h1 == pytest.approx(0.1, abs=0.002) and h2 == pytest.approx(0.05, abs=0.002)
    course = found[32:44]
    assert course[0] == pytest.approx(np.log(3), abs=0.01) and np.abs(course[1:]).max() < 0.01


def test_only_the_first_feature_and_the_power_know_the_unit():
    small, large = (appliances.features(switched_on(6, 2.0, unit)) for unit in (1.0, 50.0))
    assert large[0] - small[0] == pytest.approx(np.log(50)) and large[1:-6] == pytest.approx(small[1:-6], abs=1e-4)


@pytest.mark.parametrize(("kind", "watt"), [(0, 1e-5), (1, 0.011), (2, 0.1)])
def test_the_noise_tells_the_unit_of_the_power(kind, watt):
    """800 W in each of three units, the noise's numbers 0.2 W apart; without noise only the first unit is known."""
    noise = watt * np.where(np.arange(31) % 2, 0.1, -0.1)
    power, *unit, size = appliances._power(800 * watt, noise)
    assert power == pytest.approx(np.log(800)) and size == pytest.approx(np.log(0.2), abs=1e-3)
    assert unit == [float(each == kind) for each in range(4)]
    _, *unit, _ = appliances._power(800 * watt, None)
    assert unit == ([1, 0, 0, 0] if kind == 0 else [0, 0, 0, 1])


def test_a_variant_is_a_part_of_its_case_that_keeps_the_switch():
    case, rng = switched_on(12, 2.0, 1.0), np.random.default_rng(1)
    made = [appliances.varied(case, rng) for _ in range(50)]
    assert len({len(each) for each in made}) > 5 and min(map(len, made)) >= 120
    for each in made:
        assert each.tobytes() in case.tobytes() and appliances.features(each)[1] == 1


def test_numbers_are_spread_evenly_by_the_training_rows_quantiles():
    quantiles = np.quantile(np.array([[0.0, 5], [1, 5], [10, 5], [100, 5]]), np.linspace(0, 1, 4), axis=0)
    made = appliances.spread_evenly(np.array([[-1.0, 5], [0, 4], [1, 6], [5.5, 5], [200, 5]]), quantiles) / 4096
    limit = np.sqrt(3)
    assert made[:, 0] == pytest.approx([-limit, -limit, -limit / 3, 0, limit], abs=1e-3)
    assert made[:, 1] == pytest.approx([0, -limit, limit, 0, 0], abs=1e-3)


# ---- watch -----------------------------------------------------------------------------------------------------------


def test_windows_are_means_of_two_samples_channel_by_channel_half_overlapping():
    x = np.arange(161 * 6, dtype=float).reshape(161, 6) / 2048 / 2
    made = watch.windows(x)
    assert made.shape == (2, 300)  # 80 samples at 25 Hz: windows from 0 and 25
    for window, first in enumerate((0, 25)):
        for channel in range(6):
            for place in (0, 49):
                at = 2 * (first + place)
                wanted = (x[at, channel] + x[at + 1, channel]) / 2 * 2048 / (1 if channel < 3 else 3)
                assert made[window, 50 * channel + place] == round(wanted)


class Stranger:
    def __reduce__(self):
        return print, ("a pickle must not call this",)


def test_a_pickle_that_calls_something_is_refused(capsys):
    with pytest.raises(DataError, match="print"):
        watch._Unpickler(io.BytesIO(pickle.dumps(Stranger(), protocol=2))).load()
    assert not capsys.readouterr().out


@needs_watch
def test_recordings_are_kept_once_and_a_damaged_copy_is_written_anew(tmp_path, monkeypatch):
    path = tmp_path / "watch.npz"
    made = watch.recordings(path)
    assert len(made.rows) == 140 and set(made.person) == set(range(1, 11)) and set(made.exercise) == set(range(7))
    path.write_bytes(path.read_bytes()[:1000])
    again = watch.recordings(path)
    monkeypatch.setattr(wheel_files, "read", None)  # the copy is enough from here on
    for a, b, c in zip(made, again, watch.recordings(path), strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


@needs_watch
def test_a_person_left_out_is_the_one_who_tests_and_no_part_shares_a_sample_with_another():
    found, alone, without = watch.recordings(), watch.rows("watch:4"), watch.rows("watch:without-4")
    assert np.array_equal(alone.test[0], without.test[0]) and alone.validation is None
    own = (found.rows[found.person == 4] // 2 - 25) // 25  # windows of each of the person's recordings
    assert len(alone.train[0]) == (2 * own // 5).sum() and len(alone.test[0]) == (own - own // 2).sum()
    others = (found.rows[found.person != 4] // 2 - 25) // 25
    held = (others - (0.9 * others).astype(int)).sum()
    assert len(without.validation[0]) == held and len(without.train[0]) == (others - 1).sum() - held
    for known in (alone, without):
        halves = [
            {half.tobytes() for row in part[0].reshape(-1, 6, 2, 25) for half in row.swapaxes(0, 1)}
            for part in (known.train, known.test, known.validation or known.test)
        ]
        assert not (halves[0] & halves[1] or halves[0] & halves[2])


@pytest.mark.parametrize("source", ["watch:11", "watch:without-0", "watch:anna", "watch:without-"])
def test_an_unknown_person_is_told_who_there_is(source):
    if source != "watch:without-":
        with pytest.raises(DataError) as caught:
            watch.rows(source)
        assert "1 to 10" in caught.value.hint
    assert known_data.is_known(source) and not known_data.is_known("digits:1")


# ---- the zoo ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [recipe.name for recipe in zoo.SENSORS])
def test_each_sensors_model_reads_its_data(name):
    if not wheel_files.is_installed("seglearn" if name == "watch" else "sktime"):
        pytest.skip(f"needs a package: {watch.INSTALL if name == 'watch' else series.INSTALL}")
    recipe = zoo.get(name)
    plan = plan_from_module(
        recipe.build(), input_number=recipe.inputs.number, input_scale=recipe.inputs.scale, metadata={"data": name}
    )
    rows = data_set.load(None, plan)
    assert rows.x_train.dtype == np.int16 and rows.x_train.shape[1] == plan.in_features
    assert len(rows.labels) == plan.out_features == len(set(rows.y_test))
    assert rows.n_validation == (470 if name == "watch" else 0)
