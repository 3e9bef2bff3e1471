# SPDX-License-Identifier: MIT
"""What derivatives travel in: merged cores, pairs of nodes side by side; C and NumPy hold the same bits."""

import ctypes
import dataclasses
import math

import numpy as np
import pytest
from c_library import FUSED
from plans import layer_in_double, random_layer
from runtime import CORE, RUN, aligned

from ttzo.device_runtime.contract import Activation, LayerKind
from ttzo.exporter.costs import memory
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import MERGED_MODES
from ttzo.host_tools.firmware.build import processor_flags
from ttzo.host_tools.reference.equations.derive import _activate_pair
from ttzo.host_tools.reference.network.merged_layer import merge_cores
from ttzo.host_tools.reference.number import real

WRAPPERS = (
    RUN
    + """
#include "equations/pairs.h"
void map_sines(const float *x, float *sine, float *versine, uint32_t n);
void map_sines(const float *x, float *sine, float *versine, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 4)
        ttzo_sine_and_versine(x + i, sine + i, versine + i);
}
"""
)


@pytest.fixture(scope="module", params=["separate", "fused"])
def c_pairs(request, c_library):
    return c_library(*CORE, extra=WRAPPERS, flags=FUSED if request.param == "fused" else ())


@pytest.fixture(scope="module")
def c_separate(c_library):
    return c_library(*CORE, extra=WRAPPERS)


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def sines(library: ctypes.CDLL, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sine, versine = np.empty_like(x), np.empty_like(x)
    library.map_sines(address(x), address(sine), address(versine), ctypes.c_uint32(len(x)))
    return sine, versine


@pytest.fixture(scope="module")
def angles() -> np.ndarray:
    """Of every size, half of them within +-4, in a length that fours fill."""
    patterns = np.arange(0, 2**32, 6007, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([patterns, np.linspace(-4, 4, len(patterns)).astype(np.float32)])
    return np.random.default_rng(0).permutation(x[: len(x) // 4 * 4])


def test_one_minus_cosine_is_accurate_where_the_cosine_is_one(c_pairs, angles):
    x = angles[np.abs(angles) <= 3.0]
    x = x[: len(x) // 4 * 4]
    sine, versine = sines(c_pairs, x)
    exact = 2 * np.sin(x.astype(np.float64) / 2) ** 2
    # beyond the sine's 1.55 ulp: z = r^2 rounds once more, and so does the last sum
    assert (np.abs(versine - exact) <= 3 * 2.0**-24 * exact + 1e-44).all()
    assert (np.abs(sine - np.sin(x.astype(np.float64))) <= 2.0**-23).all()


def test_sines_of_pairs_are_the_same_bits_in_c_and_numpy(c_separate, angles):
    for ours, theirs in zip(sines(c_separate, angles), real.sine_and_versine(angles), strict=True):
        assert np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))


def test_lanes_do_not_know_their_neighbours(c_pairs):
    """A small angle beside a large one, or beside NaN, gives what it gives beside small ones."""
    small = np.float32([0.1, -0.2, 0.3, 0.7])
    alone = sines(c_pairs, small)
    for k, other in enumerate([100.0, np.inf, np.nan, -3.0]):
        mixed = small.copy()
        mixed[k] = other
        for apart, beside in zip(alone, sines(c_pairs, mixed), strict=True):
            assert np.array_equal(np.delete(apart, k), np.delete(beside, k))


@pytest.mark.parametrize("vectors", [False, True], ids=["any", "of_this_processor"])
def test_units_side_by_side_are_the_bits_of_one_unit(c_library, angles, vectors):
    """However many of them there are, whatever the angles."""
    alone = c_library(*CORE, extra=WRAPPERS, flags=("-DTTZO_TILE=0",))
    beside = c_library(*CORE, extra=WRAPPERS, flags=tuple(processor_flags()) if vectors else ())
    rng = np.random.default_rng(2)
    for n in (1, 2, 3, 7, 60):
        at, slope = (rng.normal(0, 1, n).astype(np.float32) for _ in range(2))
        for function in ("ttzo_activate_pairs", "ttzo_activate_first_pairs"):
            x = np.where(rng.random(8 * n) < 0.7, rng.uniform(-0.5, 0.5, 8 * n), rng.choice(angles, 8 * n))
            made = [aligned(32 * n).view(np.float32) for _ in range(2)]
            for library, columns in zip((alone, beside), made, strict=True):
                columns[:] = x
                getattr(library, function)(
                    int(Activation.sine), *map(address, (columns, at, slope)), ctypes.c_uint32(n)
                )
            assert np.array_equal(*made, equal_nan=True)
            assert np.array_equal(*(np.signbit(columns[~np.isnan(columns)]) for columns in made))


@pytest.mark.parametrize("kind", [Activation.relu, Activation.tanh, Activation.sine])
@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_pairs_are_the_activation_on_both_sides(c_separate, kind, size):
    rng = np.random.default_rng(1)
    z = rng.normal(0, 1, 60).astype(np.float32)
    parts = rng.normal(0, 1, (60, 2, 4)).astype(np.float32) * np.float32([[[size**2], [size]]])
    function, slope = {
        Activation.relu: (lambda v: np.maximum(v, 0), lambda v: (v > 0) * 1.0),
        Activation.tanh: (np.tanh, lambda v: 1 - np.tanh(v) ** 2),
        Activation.sine: (np.sin, np.cos),
    }[kind]
    at = z if kind == Activation.relu else function(z.astype(np.float64)).astype(np.float32)
    slopes = slope(z.astype(np.float64)).astype(np.float32)
    columns = aligned(parts.nbytes).view(np.float32)
    columns[:] = parts.reshape(-1)
    c_separate.ttzo_activate_pairs(int(kind), address(columns), address(at), address(slopes), ctypes.c_uint32(60))
    made = columns.reshape(60, 2, 4)
    even, odd = parts[:, 0].astype(np.float64), parts[:, 1].astype(np.float64)
    middle = z.astype(np.float64)[:, None]
    up, down = (function(middle + even + side * odd) - function(middle) for side in (1, -1))
    # a few roundings of numbers of the parts' size; the even part is of second order in `size`
    scale = 1e-6 * (size**2 + size) if kind == Activation.relu else 2e-6 * size**2
    assert np.abs(made[:, 0] - (up + down) / 2).max() <= scale
    assert np.abs(made[:, 1] - (up - down) / 2).max() <= 2e-6 * size
    twin = _activate_pair(kind, parts[:, 0], parts[:, 1], at[:, None], slopes[:, None])
    assert np.array_equal(made[:, 0], twin[0]) and np.array_equal(made[:, 1], twin[1])


# ---- merged cores ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_layer_with_cores_merged_is_the_same_map(seed):
    rng = np.random.default_rng(seed)
    n_in, n_out = (int(n) for n in rng.choice([8, 12, 24, 36, 60], 2))
    layer = dataclasses.replace(
        random_layer(rng, 0, n_in, n_out, 5, False), contraction=0, activation=Activation.identity
    )
    theta = rng.normal(0, 0.5, 5 + layer.n_parameters).astype(np.float32)
    merged, parameters = merge_cores(layer, theta)
    x = rng.normal(0, 1, (3, n_in))
    expected, found = layer_in_double(theta, layer, x), layer_in_double(parameters, merged, x)
    assert np.abs(found - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())  # float32 products of two cores
    assert (merged is layer) == (layer.kind != LayerKind.tt_tensor or all(c == 1 for _, c in layer.cores_together))
    for k, count in layer.cores_together:
        modes = (layer.in_modes + layer.out_modes)[k : k + count]
        assert count == 1 or math.prod(modes) <= MERGED_MODES


def test_the_paper_s_network_takes_half_the_operations_with_cores_merged():
    """21-768-768-1, rank 4: (3, 7) and (12, 16, 4) inputs, (3, 16, 16) outputs."""
    plan = plan_of("hjb20")
    first, second, last = (layer.merged for layer in plan.layers)
    assert (first.in_modes, first.out_modes) == ((21,), (3, 16, 16))
    assert (second.in_modes, second.out_modes) == ((12, 16, 4), (3, 16, 16))
    assert last is plan.layers[-1]
    assert plan.macs < 0.55 * sum(layer.macs for layer in plan.layers)


def test_the_paper_s_route_and_gauss_newton_on_it_fit_the_small_board():
    """Work buffers of hjb20, TT 3209, within 120 of the STM32F405's 128 KiB."""
    for options in ({}, {"derivative": "sparse_grid", "estimator": "sign_rge", "batch": 4}):
        assert memory.work_bytes(plan_of("hjb20", **options)) <= 120 * 1024
