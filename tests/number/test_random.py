# SPDX-License-Identifier: MIT
"""Counter-based noise: the published generator, its statistics, and C against its NumPy twin, bit for bit."""

import ctypes
from math import sqrt

import numpy as np
import pytest
from c_library import FUSED

from ttzo.device_runtime.contract import Direction
from ttzo.host_tools.reference.number import random

SEED = 0x0123456789ABCDEF
LENGTHS = [1, 2, 3, 4, 5, 127, 128, 129, 3962]
POPULATION = 400_000

# counter, key (low word first), result: the known-answer file of Random123, philox4x32 with 10 rounds
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.fixture(scope="module")
def c_random(c_library):
    return c_library("number/real.c", "number/random.c", "number/quotient.c")


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def in_c_philox(library: ctypes.CDLL, counter: list[int], key: int) -> list[int]:
    out = (ctypes.c_uint32 * 4)()
    library.ttzo_philox((ctypes.c_uint32 * 4)(*counter), ctypes.c_uint64(key), out)
    return list(out)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def in_c_direction_add(library, out, base, scale, kind, seed=SEED, step=7, query=3) -> None:
    library.ttzo_direction_add(
        pointer(out),
        pointer(base),
        ctypes.c_float(scale),
        ctypes.c_uint32(len(base)),
        ctypes.c_int(kind),
        ctypes.c_uint64(seed),
        ctypes.c_uint32(step),
        ctypes.c_uint32(query),
    )


def in_c_sample_rows(library: ctypes.CDLL, seed: int, positions: np.ndarray, n: int) -> list[int]:
    row = library.ttzo_sample_row
    row.restype = ctypes.c_uint32
    return [row(ctypes.c_uint64(seed), ctypes.c_uint64(int(at)), ctypes.c_uint32(n)) for at in positions]


def theta(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=n).astype(np.float32)


# ---- Philox ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(c_random, counter, key, expected):
    low, high = words(key)
    assert random.philox(np.array(words(counter), np.uint32), low | high << 32).tolist() == words(expected)
    assert in_c_philox(c_random, words(counter), low | high << 32) == words(expected)


# ---- directions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Direction)
@pytest.mark.parametrize("n", LENGTHS)
def test_direction_has_the_same_bits_in_c_and_numpy(c_random, kind, n):
    base, out = theta(n), np.empty(n, np.float32)
    in_c_direction_add(c_random, out, base, 0.0123, kind)
    assert np.array_equal(out.view(np.uint32), random.direction_add(base, 0.0123, kind, SEED, 7, 3).view(np.uint32))


@pytest.mark.parametrize("kind", Direction)
@pytest.mark.parametrize("n", LENGTHS)
def test_direction_writes_nothing_behind_its_end(c_random, kind, n):
    guarded = np.full(n + 8, 42.0, np.float32)
    in_c_direction_add(c_random, guarded[:n], theta(n), 1.0, kind)
    assert np.all(guarded[n:] == 42.0)


@pytest.mark.parametrize("kind", Direction)
def test_perturbing_leaves_the_original_and_in_place_gives_the_same(c_random, kind):
    base = theta(300)
    kept, apart = base.copy(), np.empty(300, np.float32)
    in_c_direction_add(c_random, apart, base, -0.5, kind)
    assert np.array_equal(base, kept)
    in_c_direction_add(c_random, base, base, -0.5, kind)
    assert np.array_equal(base, apart)


@pytest.mark.parametrize("kind", Direction)
def test_short_direction_is_the_beginning_of_a_long_one(kind):
    assert np.array_equal(random.direction(77, kind, 1, 2, 3), random.direction(1000, kind, 1, 2, 3)[:77])


@pytest.mark.parametrize("kind", Direction)
def test_seed_step_and_query_each_change_the_direction(kind):
    keys = [(5, 0, 0), (6, 0, 0), (5 + 2**32, 0, 0), (5, 1, 0), (5, 0, 1)]
    made = np.stack([random.direction(10_000, kind, *key) for key in keys]).astype(np.float64)
    overlap = made @ made.T / 10_000 - np.eye(len(keys))
    # off the diagonal a mean of products of variance 1; on it the variance, whose estimate has variance 2/n at most
    assert np.max(np.abs(overlap)) < 5 * sqrt(2 / 10_000)


def test_rademacher_takes_bit_i_of_the_block(c_random):
    bits = 0
    for block in range(2):
        for k, word in enumerate(in_c_philox(c_random, [block, 3, 7, 0], SEED)):
            bits |= word << (128 * block + 32 * k)
    expected = [1.0 if bits >> i & 1 else -1.0 for i in range(200)]
    assert random.direction(200, Direction.rademacher, SEED, 7, 3).tolist() == expected


def test_rademacher_signs_balance_in_every_bit_place():
    v = random.direction(POPULATION, Direction.rademacher, SEED, 0, 0)
    assert set(np.unique(v)) == {-1.0, 1.0}
    assert abs(v.mean()) < 5 / sqrt(POPULATION)
    assert np.max(np.abs(v.reshape(-1, 32).mean(axis=0))) < 5 / sqrt(POPULATION / 32)


def test_rademacher_is_the_same_in_both_arithmetics(c_random, c_library):
    fused = c_library("number/real.c", "number/random.c", "number/quotient.c", flags=FUSED)
    base = theta(500)
    made = [np.empty(500, np.float32), np.empty(500, np.float32)]
    for library, out in zip([c_random, fused], made, strict=True):
        in_c_direction_add(library, out, base, 0.3, Direction.rademacher)
    assert np.array_equal(*made)


def test_gaussian_follows_box_muller_in_float64():
    v = random.direction(4000, Direction.gaussian, SEED, 7, 3)
    counters = np.stack([np.arange(1000), np.full(1000, 3), np.full(1000, 7), np.zeros(1000)], axis=-1)
    pairs = random.philox(counters.astype(np.uint32), SEED).reshape(-1, 2)
    u1, u2 = ((pairs[:, 0] >> 8) + 1) * 2.0**-24, (pairs[:, 1] >> 8) * 2.0**-24
    radius = np.sqrt(-2 * np.log(u1))
    exact = np.stack([radius * np.cos(2 * np.pi * u2), radius * np.sin(2 * np.pi * u2)], axis=-1).ravel()
    # the radius is at most 5.8; 2e-7 of it for radius (1 ulp, 6e-8) and circle (2^-23)
    assert np.max(np.abs(v - exact)) < 5.8 * 2e-7


def test_gaussian_has_the_moments_of_the_normal_law():
    v = random.direction(POPULATION, Direction.gaussian, SEED, 0, 0).astype(np.float64)
    # power: (moment, variance of one term), five sigma of the mean each
    for power, (moment, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96), 6: (15, 10395 - 225)}.items():
        assert abs((v**power).mean() - moment) < 5 * sqrt(variance / POPULATION)
    for lag in (1, 2, 4):
        assert abs((v[lag:] * v[:-lag]).mean()) < 5 / sqrt(POPULATION - lag)
    assert np.all(np.isfinite(v))
    assert np.max(np.abs(v)) <= 5.8  # sqrt(-2 log 2^-24) = 5.77


# ---- sample order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 17, 64, 255, 1437, 60_000])
def test_every_epoch_is_a_permutation(n):
    epochs = 2 if n > 2000 else 20
    rows = random.sample_rows(SEED, np.arange(epochs * n), n).reshape(epochs, n)
    assert np.array_equal(np.sort(rows, axis=1), np.broadcast_to(np.arange(n), (epochs, n)))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 64, 1437, 60_000, 2**31 + 11, 2**32 - 1])
def test_sample_order_is_the_same_in_c_and_numpy(c_random, n):
    positions = np.random.default_rng(1).integers(0, 2**63, 300, dtype=np.uint64)
    positions = np.concatenate([np.arange(300, dtype=np.uint64), positions])
    assert random.sample_rows(SEED, positions, n).tolist() == in_c_sample_rows(c_random, SEED, positions, n)


def test_epochs_and_seeds_give_different_orders():
    n = 1437
    first = random.sample_rows(1, np.arange(2 * n), n)
    orders = [
        first[:n],
        first[n:],
        random.sample_rows(2, np.arange(n), n),
        random.sample_rows(1 + 2**32, np.arange(n), n),
    ]
    for i, a in enumerate(orders):
        for b in orders[:i]:
            # two random permutations agree in 1 place on average, with variance 1
            assert np.count_nonzero(a == b) <= 1 + 5


def test_the_first_sample_of_an_epoch_is_uniform():
    epochs, n = 16_000, 16
    counts = np.bincount(random.sample_rows(SEED, np.arange(epochs) * n, n), minlength=n)
    chi_squared = np.sum((counts - epochs / n) ** 2) / (epochs / n)
    assert chi_squared < (n - 1) + 5 * sqrt(2 * (n - 1))  # mean and five sigma of the law
