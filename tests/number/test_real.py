# SPDX-License-Identifier: MIT
"""The elementary functions: accuracy against float64 NumPy, and C against its NumPy twin, bit for bit."""

import ctypes
import sys
import warnings

import numpy as np
import pytest
import torch
from c_library import FUSED, compile_library

from ttzo.host_tools.reference.number import real

NAMES = ["exp", "expm1", "log", "log1p", "tanh", "sqrt", "sin", "cos", "sigmoid", "erf", "gelu", "atan"]
INF, NAN = np.inf, np.nan

EXACT = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "atan": np.arctan,
    "erf": lambda x: torch.erf(torch.from_numpy(x)).numpy(),
    "gelu": lambda x: 0.5 * x * torch.erfc(torch.from_numpy(-x / np.sqrt(2))).numpy(),
}  # of what NumPy has not

# name: (range of x, largest error in ulp). Measured over every 61st float32 of the range, in both arithmetics: exp 1.02,
# expm1 1.19, log 0.89, log1p 0.88, tanh 1.42, sqrt 0.5, sigmoid 2.46 (of every 3061st), erf 2.28, atan 2.04, sin and cos 1.55 to |x| = 100 and 2.35 to 10^4.
ACCURACY = [
    ("exp", (-INF, INF), 1.1),
    ("expm1", (-INF, INF), 1.25),
    ("log", (0.0, INF), 0.95),
    ("log1p", (-1.0, INF), 0.95),
    ("tanh", (-INF, INF), 1.5),
    ("sqrt", (0.0, INF), 0.5),
    ("sin", (-100.0, 100.0), 1.6),
    ("cos", (-100.0, 100.0), 1.6),
    ("sin", (-1e4, 1e4), 2.4),
    ("cos", (-1e4, 1e4), 2.4),
    ("sigmoid", (-87.0, INF), 2.5),
    ("erf", (-INF, INF), 2.4),
    ("atan", (-INF, INF), 2.1),
]

SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (89.0, INF), (3e38, INF), (-104.0, 0.0), (-3e38, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (89.0, INF), (-30.0, -1.0), (-1e-45, -1e-45)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-1e-45, NAN), (-INF, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-1.0000001, NAN), (-INF, NAN), (1e-45, 1e-45)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (3e38, 1.0), (-20.0, -1.0), (1e-45, 1e-45)],
    "sqrt": [(0.0, 0.0), (-0.0, -0.0), (4.0, 2.0), (INF, INF), (-1e-45, NAN), (-INF, NAN)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (2e5, NAN), (-3e38, NAN), (1e-45, 1e-45)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (100.0, 1.0), (-100.0, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (4.0, 1.0), (-5.0, -1.0)],
    "gelu": [(0.0, 0.0), (-0.0, 0.0), (INF, INF), (-INF, -0.0), (6.0, 6.0), (-100.0, -0.0)],
    "atan": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.57079637), (-INF, -1.57079637), (1.0, 0.785398185), (1e-45, 1e-45)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (2e5, NAN), (-3e38, NAN), (1e-45, 1.0)],
}


def array_loops() -> str:
    """C text: `map_NAME(x, y, n)` for each function."""
    loop = (
        "void map_{0}(const float *x, float *y, uint32_t n);\n"
        "void map_{0}(const float *x, float *y, uint32_t n)\n"
        "{{\n    for (uint32_t i = 0; i < n; i++)\n        y[i] = ttzo_{0}(x[i]);\n}}\n"
    )
    turns = (
        "void map_turns(const float *x, float *y, uint32_t n);\n"
        "void map_turns(const float *x, float *y, uint32_t n)\n"
        "{\n    for (uint32_t i = 0; i < n; i++)\n        ttzo_sin_cos_turns(x[i], y + 2 * i, y + 2 * i + 1);\n}\n"
    )
    angles = (
        "void map_atan2(const float *x, float *y, uint32_t n);\n"
        "void map_atan2(const float *x, float *y, uint32_t n)\n"
        "{\n    for (uint32_t i = 0; i < n; i++)\n        y[i] = ttzo_atan2(x[2 * i], x[2 * i + 1]);\n}\n"
    )
    each = "".join(loop.format(name) for name in NAMES)
    return '#include <stdint.h>\n#include "number/real.h"\n' + each + turns + angles


@pytest.fixture(scope="module", params=["separate", "fused"])
def c_real(request, c_library):
    return c_library("number/real.c", extra=array_loops(), flags=FUSED if request.param == "fused" else ())


@pytest.fixture(scope="module")
def c_separate(c_library):
    return c_library("number/real.c", extra=array_loops())


def in_c(library: ctypes.CDLL, name: str, x: np.ndarray, width: int = 1) -> np.ndarray:
    y = np.empty((len(x), width), np.float32)
    library[f"map_{name}"](
        x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(len(x))
    )
    return y[:, 0] if width == 1 else y


@pytest.fixture(scope="module")
def sweep() -> np.ndarray:
    """Every 3061st bit pattern (NaN, infinities and subnormals among them), and half a million numbers in +-20."""
    patterns = np.arange(0, 2**32, 3061, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.concatenate([patterns, np.linspace(-20.0, 20.0, 500_001).astype(np.float32)])


def ulps(y: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|y - exact| in units of the last place that float32 has at `exact` (float64)."""
    exponent = np.frexp(np.maximum(np.abs(exact), 2.0**-126))[1]
    return np.abs(y.astype(np.float64) - exact) / np.ldexp(1.0, exponent - 24)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    assert a.dtype == b.dtype == np.float32
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize(("name", "bounds", "limit"), ACCURACY)
def test_error_stays_within_the_stated_ulps(c_real, sweep, name, bounds, limit):
    x = sweep[(sweep > bounds[0]) & (sweep < bounds[1])]
    with np.errstate(all="ignore"):
        exact = (EXACT.get(name) or getattr(np, name))(x.astype(np.float64))
    finite = np.abs(exact) <= np.finfo(np.float32).max
    y = in_c(c_real, name, x)
    assert np.max(ulps(y[finite], exact[finite])) <= limit
    assert np.all(np.isinf(y[~finite]))


def test_gelu_is_off_by_no_more_than_its_rounding(c_real, sweep):
    x = sweep[np.abs(sweep) < 1e4]
    # x / sqrt 2 is off by 2^-24 of itself, which moves erf by up to half of that, erf itself and two results by 2^-24 each
    y, exact = in_c(c_real, "gelu", x), EXACT["gelu"](x.astype(np.float64))
    assert np.all(np.abs(y - exact) <= 2.0**-22 * np.maximum(np.abs(exact), 0.5) + 1e-45)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_angles_keep_seven_digits_to_1e4_and_six_to_1e5(c_real, sweep, name):
    for largest, limit in [(1e4, 1e-7), (1e5, 1e-6)]:  # beyond 10^4 (6366 quarter turns) products of parts round
        x = sweep[np.abs(sweep) <= largest]
        assert np.max(np.abs(in_c(c_real, name, x) - getattr(np, name)(x.astype(np.float64)))) <= limit


@pytest.mark.parametrize("name", NAMES)
def test_c_and_numpy_give_the_same_bits(c_separate, sweep, name):
    assert same_bits(in_c(c_separate, name, sweep), getattr(real, name)(sweep))


def test_turns_give_the_same_bits_in_c_and_numpy(c_separate):
    turns = np.arange(0, 2**24, 31).astype(np.float32) * np.float32(2.0**-24)
    assert same_bits(in_c(c_separate, "turns", turns, 2), np.stack(real.sin_cos_turns(turns), axis=-1))


def test_turns_are_the_unit_circle(c_real):
    turns = np.arange(0, 2**24, 31).astype(np.float32) * np.float32(2.0**-24)
    angle = 2 * np.pi * turns.astype(np.float64)
    exact = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    # four roundings of at most 2^-25 each: 2 pi, its product, the polynomial, its sum with r or 1
    assert np.max(np.abs(in_c(c_real, "turns", turns, 2) - exact)) < 2.0**-23
    quarters = in_c(c_real, "turns", np.array([0.0, 0.25, 0.5, 0.75], np.float32), 2)
    assert np.array_equal(quarters, [[0, 1], [1, 0], [0, -1], [-1, 0]])


def angle_pairs() -> np.ndarray:
    """(y, x): pairs of all sizes and signs, and every pair of special values."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 2**32, (300_000, 2), np.uint64).astype(np.uint32).view(np.float32)
    special = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-45, -3e38], np.float32)
    patterns = np.where(np.isnan(patterns), np.float32(NAN), patterns)
    pairs = [patterns, rng.normal(size=(300_000, 2)), np.array(np.meshgrid(special, special)).reshape(2, -1).T]
    return np.concatenate(pairs).astype(np.float32)


def in_c_atan2(library: ctypes.CDLL, pairs: np.ndarray) -> np.ndarray:
    y = np.empty(len(pairs), np.float32)
    pairs = np.ascontiguousarray(pairs)
    library.map_atan2(pairs.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(len(y)))
    return y


def test_atan2_is_the_angle_and_that_of_ieee_754_for_special_values(c_real):
    pairs = angle_pairs()
    with np.errstate(all="ignore"):
        exact = np.arctan2(pairs[:, 0].astype(np.float64), pairs[:, 1].astype(np.float64))
    y = in_c_atan2(c_real, pairs)
    assert np.array_equal(np.isnan(y), np.isnan(exact)) and np.all(y[np.isnan(y)].view(np.uint32) == 0x7FC00000)
    known = ~np.isnan(exact) & (np.abs(exact) > 1e-37)  # below, y / x loses bits
    assert np.max(ulps(y[known], exact[known])) <= 2.3  # measured: 2.22
    assert np.array_equal(np.signbit(y[~np.isnan(y)]), np.signbit(exact[~np.isnan(exact)]))


def test_atan2_gives_the_same_bits_in_c_and_numpy(c_separate):
    pairs = angle_pairs()
    assert same_bits(in_c_atan2(c_separate, pairs), real.atan2(*pairs.T))


@pytest.mark.parametrize("name", NAMES)
def test_special_values_are_exact(c_real, name):
    x, expected = np.array(SPECIAL[name] + [(NAN, NAN), (-NAN, NAN)]).astype(np.float32).T.copy()
    y = in_c(c_real, name, x)
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(np.signbit(y[y == 0]), np.signbit(expected[y == 0]))
    assert np.all(y[np.isnan(y)].view(np.uint32) == 0x7FC00000)


@pytest.mark.parametrize("name", ["tanh", "sin", "cos", "erf", "atan"])
def test_symmetry_holds_bit_for_bit(c_real, sweep, name):
    x = sweep[~np.isnan(sweep)]
    y, mirrored = in_c(c_real, name, x), in_c(c_real, name, -x)
    number = ~np.isnan(y)
    assert same_bits(mirrored[number], y[number] if name == "cos" else -y[number])


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "tanh", "sqrt", "sigmoid", "atan"])
def test_monotone_functions_never_fall(c_real, sweep, name):
    x = np.sort(sweep[~np.isnan(sweep)])
    y = in_c(c_real, name, x)
    assert np.all(np.diff(y[~np.isnan(y) & np.isfinite(y)]) >= 0)


def test_square_root_is_correctly_rounded(c_separate, sweep):
    x = np.abs(sweep[~np.isnan(sweep)])
    assert same_bits(in_c(c_separate, "sqrt", x), np.sqrt(x))


@pytest.mark.parametrize("name", NAMES)
def test_numpy_twin_keeps_shape_and_is_silent(name):
    function = getattr(real, name)
    x = np.array([[0.0, -0.0, 1e-45, -2.0], [NAN, INF, -INF, 3e38]], np.float32)
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        y, one = function(x), function(np.float32(0.5))
    assert y.shape == x.shape
    assert y.dtype == one.dtype == np.float32
    assert one.shape == ()
    assert same_bits(np.atleast_1d(one), function(np.array([0.5], np.float32)))


@pytest.mark.skipif(sys.platform != "linux", reason="asks the ELF linker to refuse undefined symbols")
def test_real_and_random_need_no_library():
    compile_library(["number/real.c", "number/random.c", "number/quotient.c"], flags=["-nostdlib", "-Wl,-z,defs"])
