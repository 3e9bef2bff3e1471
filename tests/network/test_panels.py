# SPDX-License-Identifier: MIT
"""Matrix products: every tile gives the bits of the plain loops, in both arithmetics."""

import ctypes

import numpy as np
import pytest
from c_library import FUSED
from runtime import aligned

from ttzo.host_tools.firmware.build import processor_flags

SHAPES = """
#include "network/column_product.h"
#include "network/four_columns.h"
#include "network/panels.h"
void product(float *out, const float *start, const float *left, const float *right, uint32_t rows, uint32_t inner,
             uint32_t columns, float *panels);
void product(float *out, const float *start, const float *left, const float *right, uint32_t rows, uint32_t inner,
             uint32_t columns, float *panels)
{
    float *right_panels = panels + ttzo_panel_numbers(rows, inner);
    ttzo_pack_panels(panels, (struct ttzo_operand){ left, inner, 1 }, rows, inner);
    ttzo_pack_panels(right_panels, (struct ttzo_operand){ right, 1, columns }, columns, inner);
    for (uint32_t j = 0; j < columns; j += 4)
        ttzo_multiply_panels(out + j, columns, start ? start + j : 0, panels, right_panels + j * inner, rows, inner,
                             columns - j < 4 ? columns - j : 4);
}
void strided(float *out, const float *start, const float *left, const float *right, uint32_t rows, uint32_t inner,
             uint32_t columns);
void strided(float *out, const float *start, const float *left, const float *right, uint32_t rows, uint32_t inner,
             uint32_t columns)
{
    ttzo_product(out, start, (struct ttzo_operand){ left, inner, 1 }, (struct ttzo_operand){ right, 1, columns }, rows,
                 inner, columns, TTZO_DATA_NONE);
}
uint32_t added(float *out, const float *left, const float *right, uint32_t rows, uint32_t inner, uint32_t columns,
           enum ttzo_data data);
uint32_t added(float *out, const float *left, const float *right, uint32_t rows, uint32_t inner, uint32_t columns,
           enum ttzo_data data)
{
    return ttzo_product(out, out, (struct ttzo_operand){ left, 1, rows }, (struct ttzo_operand){ right, 1, columns }, rows, inner,
                 columns, data);
}
void by_columns(float *out, const float *start, const float *left, const float *right, uint32_t rows, uint32_t inner,
                uint32_t columns, float *lines);
void by_columns(float *out, const float *start, const float *left, const float *right, uint32_t rows, uint32_t inner,
                uint32_t columns, float *lines)
{
    ttzo_lay_columns(lines, rows, (struct ttzo_operand){ left, inner, 1 }, rows, inner);
    for (uint32_t i = 0; start && i < rows * columns; i++)
        out[i] = start[i];
    ttzo_column_product(out, columns, (struct ttzo_columns){ lines, rows }, (struct ttzo_columns){ right, columns },
                        rows, inner, columns, start != 0);
}
"""
SOURCES = (
    "network/product.c",
    "network/lanes_product.c",
    "network/panels.c",
    "network/column_product.c",
    "network/four_columns.c",
)


def address(array: np.ndarray | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def numbers(rng: np.random.Generator, n: int) -> np.ndarray:
    made = aligned(4 * n).view(np.float32)
    made[:] = rng.normal(size=n) * 2.0 ** rng.integers(-8, 9, n)
    return made


@pytest.mark.parametrize("arithmetic", [(), FUSED], ids=["separate", "fused"])
def test_every_tile_gives_the_bits_of_the_plain_loops(c_library, arithmetic):
    plain, *others = (
        c_library(*SOURCES, extra=SHAPES, flags=(*flags, *arithmetic))
        for flags in (["-DTTZO_TILE=0"], ["-DTTZO_TILE=1"], ["-DTTZO_TILE=1", "-DTTZO_COMPACT=1"], ["-DTTZO_TILE=2"])
    )
    rng = np.random.default_rng(0)
    for _ in range(300):
        rows, inner, columns = (int(n) for n in rng.integers(1, 14, 3))
        left, right = numbers(rng, rows * inner), numbers(rng, inner * columns)
        start = numbers(rng, rows * columns) if rng.integers(2) else None
        panels = aligned(4 * (rows + columns + 6) * inner)
        wanted = np.empty(rows * columns, np.float32)
        arguments = (address(start), address(left), address(right), rows, inner, columns)
        plain.strided(address(wanted), *arguments)
        for library in (plain, *others):
            out = np.full(rows * columns, np.nan, np.float32)
            library.product(address(out), *arguments, address(panels))
            assert out.tobytes() == wanted.tobytes()
            library.strided(address(out), *arguments)
            assert out.tobytes() == wanted.tobytes()
            library.by_columns(address(out), *arguments, address(panels))
            assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("vectors", [False, True], ids=["any", "of_this_processor"])
def test_neighbouring_columns_give_the_bits_of_the_plain_loops(c_library, vectors):
    """With rows as neighbours on the left, what is added to in its place, and summed indices of zeros."""
    flags = tuple(processor_flags()) if vectors else ()
    plain, best = (c_library(*SOURCES, extra=SHAPES, flags=(f"-DTTZO_TILE={tile}", *flags)) for tile in (0, 2))
    rng = np.random.default_rng(0)
    for _ in range(300):
        rows, inner, columns = (int(n) for n in rng.integers(1, [10, 70, 30]))
        left, right, start = numbers(rng, rows * inner), numbers(rng, inner * columns), numbers(rng, rows * columns)
        right.reshape(inner, columns)[rng.random(inner) < rng.choice([0, 0.3])] = 0
        for data in (0, 2):  # all summed indices; those where the right operand has numbers
            wanted, out = start.copy(), start.copy()
            done = plain.added(address(wanted), address(left), address(right), rows, inner, columns, data)
            assert best.added(address(out), address(left), address(right), rows, inner, columns, data) == done
            assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("arithmetic", [(), FUSED], ids=["separate", "fused"])
def test_four_columns_give_the_bits_of_the_plain_loops(c_library, arithmetic):
    plain, best = (c_library(*SOURCES, extra=SHAPES, flags=(f"-DTTZO_TILE={tile}", *arithmetic)) for tile in (0, 2))
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows, inner, columns = int(rng.integers(1, 12)), int(rng.integers(1, 12)), 4 * int(rng.integers(1, 4))
        left, right, bias = numbers(rng, rows * inner), numbers(rng, inner * columns), numbers(rng, rows)
        has_bias, wanted = bool(rng.integers(2)), np.empty((rows, columns), np.float32)
        start = np.repeat(bias, columns) if has_bias else None
        plain.strided(address(wanted), address(start), address(left), address(right), rows, inner, columns)
        for column in range(0, columns, 4):
            out = np.full((rows, 5), np.nan, np.float32)
            arguments = (address(bias if has_bias else None), 1, address(left), inner, address(right[column:]), columns)
            best.ttzo_multiply_four_columns(address(out), 5, *arguments, rows, inner)
            assert out[:, :4].tobytes() == wanted[:, column : column + 4].tobytes()
            assert np.isnan(out[:, 4]).all()


def test_plain_loops_sum_in_ascending_order(c_library):
    """In float32, 1e8 + 1 - 1e8 is 0 in this order and 1 in the other."""
    library = c_library(*SOURCES, extra=SHAPES, flags=("-DTTZO_TILE=0",))
    left, right = np.ones(3, np.float32), np.array([1e8, 1, -1e8], np.float32)
    out = np.empty(1, np.float32)
    library.strided(address(out), address(None), address(left), address(right), 1, 3, 1)
    assert out[0] == 0
    library.strided(address(out), address(None), address(left), address(right[::-1].copy()), 1, 3, 1)
    assert out[0] == 0
    library.strided(address(out), address(None), address(left), address(right[[0, 2, 1]].copy()), 1, 3, 1)
    assert out[0] == 1
