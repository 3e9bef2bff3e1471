# SPDX-License-Identifier: MIT
"""The surnames' letters, and a character model that learns them by forward passes better than counted pairs of letters."""

import numpy as np
import pytest

from ttzo.exporter import export as exporting
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.host_tools.data import data_set, known_data, surnames, wheel_files
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.training.session import train

needs_surnames = pytest.mark.skipif(
    not wheel_files.is_installed("names"), reason=f"needs the package names: {surnames.INSTALL}"
)


def test_a_place_reads_a_letter_and_gives_the_next():
    x, y = surnames.encoded(["AZ", "B"])
    assert x[:, :4].tolist() == [[0, 1, 26, 0], [0, 2, 0, 0]] and not x[:, 4:].any()
    assert y[:, :4].tolist() == [[1, 26, 0, NO_CLASS], [2, 0, NO_CLASS, NO_CLASS]] and (y[:, 4:] == NO_CLASS).all()


@needs_surnames
def test_the_surnames_are_the_most_frequent_ones_and_every_fifth_tests():
    (x, y), (x_test, y_test) = known_data.read("surnames")[:2]
    assert x.shape == y.shape == (25_600, 14) and x_test.shape == y_test.shape == (6_400, 14)
    letters = "".join(chr(surnames.FIRST + token) for token in x_test[0] if token)
    assert letters == "SMITH" and x.max() == 26 and y[y != NO_CLASS].max() == 26


def bigram_loss(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean over test rows of the mean of -log p(next letter | letter) over a row's places, p counted on the training rows
    with 0.1 more of each pair."""
    counts = np.full((27, 27), 0.1)
    known = train[1] != NO_CLASS
    np.add.at(counts, (train[0][known], train[1][known]), 1)
    surprise = -np.log(counts / counts.sum(1, keepdims=True))
    known = test[1] != NO_CLASS
    losses = np.where(known, surprise[test[0], np.where(known, test[1], 0)], 0)
    return float((losses.sum(1) / known.sum(1)).mean())


@needs_surnames
def test_a_transformer_learns_names_by_forward_passes_better_than_counted_pairs(tmp_path):
    """500 surnames by unit differences, where counted pairs have 2.542; in the work of 20,000 evaluations of 32 rows."""
    plan = exporting.export("names-gpt", tmp_path, steps=500)
    rows = data_set.load(None, plan)
    with open_device("native:", tmp_path) as device:
        run = train(device, rows)
        found = device.evaluate(rows.test_rows)
    assert run.macs <= 20_000 * 32 * plan.macs
    assert found.loss < bigram_loss((rows.x_train, rows.y_train), (rows.x_test, rows.y_test))


@needs_surnames
def test_a_share_of_the_names_validates():
    plan = exporting.plan_of("names-gpt")
    rows = data_set.load("surnames", plan, DataOptions(validation=0.1))
    assert (len(rows.x_train), len(rows.x_validation), rows.y_validation.shape) == (23_040, 2_560, (2_560, 14))
