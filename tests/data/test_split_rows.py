# SPDX-License-Identifier: MIT
"""Splits: every row is on one side, every class and never a group on several, and the same seed gives the same parts."""

import numpy as np
import pytest

from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.split_rows import Part, split, split_groups, split_in_time

SHARES = (0.1, 0.2)


@pytest.mark.parametrize("order", ["by position", "sorted", "shuffled"])
def test_each_class_is_divided_in_the_same_proportions_whatever_the_order(order):
    classes = np.arange(500) % 5  # every fifth row of a class by position was the whole test set once
    classes = {
        "by position": classes,
        "sorted": np.sort(classes),
        "shuffled": np.random.default_rng(0).permutation(classes),
    }[order]
    parts = split(500, SHARES, 0, classes)
    for kind in range(5):
        assert np.bincount(parts[classes == kind]).tolist() == [70, 10, 20]


def test_the_seed_decides_and_nothing_else():
    classes = np.arange(90) % 3
    assert np.array_equal(split(90, SHARES, 4, classes), split(90, SHARES, 4, classes))
    assert not np.array_equal(split(90, SHARES, 4, classes), split(90, SHARES, 5, classes))


def test_rows_are_shuffled():
    parts = split(1000, SHARES, 0)
    # 200 of 1000 without replacement: 100 in the first half, deviation sqrt(200 .25 .8) = 6.3; five of them
    assert abs((parts[:500] == Part.test).sum() - 100) < 32 and (parts == Part.test).sum() == 200


@pytest.mark.parametrize(
    ("n", "wanted"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 1, 2])]
)
def test_a_class_of_few_rows_gives_one_to_the_test_before_validation_and_keeps_one_for_training(n, wanted):
    assert np.bincount(split(n, SHARES, 0, np.zeros(n, np.int64)), minlength=3).tolist() == wanted


def test_without_a_share_a_part_gets_nothing():
    assert not split(20, (0.0, 0.0), 0, np.arange(20) % 2).any()
    assert set(split(20, (0.0, 0.5), 0)) == {Part.train, Part.test}


def test_groups_stay_whole_and_each_part_gets_its_share_of_every_class():
    rng = np.random.default_rng(0)
    groups, classes = np.repeat(np.arange(20), 30), np.tile(np.arange(3), 200)
    order = rng.permutation(600)
    groups, classes = groups[order].astype(str).astype(object), classes[order]
    parts = split_groups(groups, SHARES, 0, classes)
    assert all(len(set(parts[groups == name])) == 1 for name in set(groups))
    assert np.bincount(parts).tolist() == [420, 60, 120]  # 14, 2 and 4 of the equal groups
    for part in Part:
        assert np.bincount(classes[parts == part]).tolist() == [(parts == part).sum() // 3] * 3


def test_groups_of_one_class_each_are_spread_so_that_no_part_lacks_a_class():
    groups = np.repeat([f"{kind}{k}" for kind in "ab" for k in range(5)], 10).astype(object)
    classes = np.repeat([0, 1], 50)
    parts = split_groups(groups, (0.2, 0.2), 0, classes)
    for part in Part:
        assert set(classes[parts == part]) == {0, 1}


@pytest.mark.parametrize(("n_groups", "shares"), [(2, SHARES), (1, (0.0, 0.2))])
def test_too_few_groups_are_refused_with_a_way_out(n_groups, shares):
    groups = np.arange(30).astype(str).astype(object)
    groups[:] = [str(k % n_groups) for k in range(30)]
    with pytest.raises(DataError, match="too few") as caught:
        split_groups(groups, shares, 0, what="person")
    assert "person" in str(caught.value) and caught.value.hint


def test_as_many_groups_as_parts_give_each_part_one():
    groups = np.array(["a"] * 50 + ["b"] * 3 + ["c"] * 2, object)
    parts = split_groups(groups, SHARES, 0)
    assert {part: set(groups[parts == part]) for part in Part}[Part.train] == {"a"}
    assert len({int(parts[groups == name][0]) for name in "abc"}) == 3


def test_recordings_are_cut_in_time_each_by_itself():
    parts = split_in_time(np.repeat([0, 1, 2], [10, 20, 1]), SHARES)
    assert parts.tolist() == [0] * 7 + [1] + [2] * 2 + [0] * 14 + [1] * 2 + [2] * 4 + [0]
