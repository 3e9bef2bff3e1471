# SPDX-License-Identifier: MIT
"""Adaptation: images of other domains are what their names say, a run begins from another's parameters, and learns."""

import json

import numpy as np
import pytest
from bundles import STEPS, small_plan, write_bundle
from click.testing import CliRunner

from ttzo.device_runtime.contract import Region
from ttzo.exporter.export import export
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import data_set, domain_shifts, known_data
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.device.device import open_device
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


def test_a_digits_model_adapts_to_inverted_and_moved_images(tmp_path):
    """Grey values are stretched to 255, as MNIST's; the small network learns them, then each shift, on the C runtime."""
    pytest.importorskip("sklearn")
    export("digits", tmp_path / "m", steps=200, input_scale=1 / 255)
    x_train, y_train, x_test, y_test = known_data.digits()
    stretched = [np.minimum(255, 16 * x.astype(int)) for x in (x_train, x_test)]
    np.savez(tmp_path / "d.npz", x_train=stretched[0], y_train=y_train, x_test=stretched[1], y_test=y_test)
    words = (tmp_path / "m", "--data", tmp_path / "d.npz", "--device", "native:")
    assert ttzo("train", *words)["test"]["accuracy"] > 0.9
    found = ttzo("adapt", *words, "--shift", "invert", "--shift", "noise", "--samples", 600)["shifts"]
    assert [each["shift"] for each in found] == ["invert", "noise"]
    for each in found:
        assert each["after"] > each["before"] + 0.05 and each["steps"] == 250  # 20 passes over 600 rows, 48 at a time
