// SPDX-License-Identifier: MIT
#include "network/lanes_product.h"

#include <stddef.h>

#include "network/wide.h"

#if TTZO_LANES > 1

// ---- blocks: four rows or one, of as many columns as there are lanes, or wide lanes ---------------------------------

#define STARTED(kind, row) (start ? kind##_load(start + (row) * columns) : kind##_of(0.0f))

#define BLOCKS(kind, one_row, four_rows)                                                                               \
    static inline void one_row(float *out, const float *start, const float *a, uint32_t a_step, const float *b,        \
                               uint32_t b_step, uint32_t inner)                                                        \
    {                                                                                                                  \
        kind sum = start ? kind##_load(start) : kind##_of(0.0f);                                                       \
        for (; inner; inner--, a += a_step, b += b_step)                                                               \
            sum = TTZO_MULADD(*a, kind##_load(b), sum);                                                                \
        kind##_store(out, sum);                                                                                        \
    }                                                                                                                  \
    static inline void four_rows(float *out, const float *start, uint32_t columns, const float *a, uint32_t outer,     \
                                 uint32_t a_step, const float *b, uint32_t b_step, uint32_t inner)                     \
    {                                                                                                                  \
        kind s0 = STARTED(kind, 0), s1 = STARTED(kind, 1), s2 = STARTED(kind, 2), s3 = STARTED(kind, 3);               \
        for (; inner; inner--, a += a_step, b += b_step) {                                                             \
            kind numbers = kind##_load(b);                                                                             \
            s0 = TTZO_MULADD(a[0], numbers, s0);                                                                       \
            s1 = TTZO_MULADD(a[outer], numbers, s1);                                                                   \
            s2 = TTZO_MULADD(a[2 * outer], numbers, s2);                                                               \
            s3 = TTZO_MULADD(a[3 * outer], numbers, s3);                                                               \
        }                                                                                                              \
        kind##_store(out, s0), kind##_store(out + columns, s1);                                                        \
        kind##_store(out + 2 * columns, s2), kind##_store(out + 3 * columns, s3);                                      \
    }

// clang-format off
BLOCKS(ttzo_lanes, lanes_of_one, lanes_of_four)
BLOCKS(ttzo_wide, wide_of_one, wide_of_four)
// clang-format on

// Rows of the columns that fill no lanes, one number after the other.
static void remaining(float *out, const float *start, uint32_t columns, struct ttzo_operand left,
                      struct ttzo_operand right, uint32_t rows, uint32_t inner, uint32_t first)
{
    for (uint32_t i = 0; i < rows; i++, out += columns, left.at += left.outer)
        for (uint32_t j = first; j < columns; j++) {
            float sum = start ? start[i * columns + j] : 0.0f;
            for (uint32_t k = 0; k < inner; k++)
                sum = TTZO_MULADD(left.at[k * left.inner], right.at[k * right.inner + j], sum);
            out[j] = sum;
        }
}

// ---- all of it ------------------------------------------------------------------------------------------------------

// A step that is known where this is inlined takes no registers.
__attribute__((always_inline)) static inline void multiply_by(float *out, const float *start, struct ttzo_operand left,
                                                              uint32_t outer, struct ttzo_operand right, uint32_t rows,
                                                              uint32_t inner, uint32_t columns)
{
    const uint32_t wide = columns - columns % TTZO_WIDE, whole = columns - columns % TTZO_LANES;
    const uint32_t a_step = left.inner, b_step = right.inner;
    if (whole < columns)
        remaining(out, start, columns, left, right, rows, inner, whole);
    for (; rows >= 4; rows -= 4, left.at += 4 * outer, out += 4 * columns, start += start ? 4 * columns : 0) {
        uint32_t j = 0;
        for (; j < wide; j += TTZO_WIDE)
            wide_of_four(out + j, start ? start + j : NULL, columns, left.at, outer, a_step, right.at + j, b_step,
                         inner);
        for (; j < whole; j += TTZO_LANES)
            lanes_of_four(out + j, start ? start + j : NULL, columns, left.at, outer, a_step, right.at + j, b_step,
                          inner);
    }
    for (; rows; rows--, left.at += outer, out += columns, start += start ? columns : 0) {
        uint32_t j = 0;
        for (; j < wide; j += TTZO_WIDE)
            wide_of_one(out + j, start ? start + j : NULL, left.at, a_step, right.at + j, b_step, inner);
        for (; j < whole; j += TTZO_LANES)
            lanes_of_one(out + j, start ? start + j : NULL, left.at, a_step, right.at + j, b_step, inner);
    }
}

void ttzo_lanes_product(float *out, const float *start, struct ttzo_operand left, struct ttzo_operand right,
                        uint32_t rows, uint32_t inner, uint32_t columns)
{
    if (left.outer == 1)
        multiply_by(out, start, left, 1, right, rows, inner, columns);
    else
        multiply_by(out, start, left, left.outer, right, rows, inner, columns);
}

#endif
