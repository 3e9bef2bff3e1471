// SPDX-License-Identifier: MIT
#include "network/product.h"

#include <stddef.h>

#include "network/lanes_product.h"
#include "network/tile.h"
#include "number/real.h"

// Summed indices are looked at in chunks of so many; the chains go on from chunk to chunk through `out`.
#define CHUNK 64u

// ---- which summed indices count -------------------------------------------------------------------------------------

static bool all_zero(const float *at, uint32_t stride, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, at += stride)
        if (*at != 0.0f)
            return false;
    return true;
}

// The indices below `n` at which the data operand is not zero throughout, in ascending order; returns how many.
static uint32_t list_live(uint16_t live[CHUNK], struct ttzo_operand data, uint32_t outer, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < n; k++, data.at += data.inner)
        if (!all_zero(data.at, data.outer, outer))
            live[count++] = (uint16_t)k;
    return count;
}

// ---- chains ---------------------------------------------------------------------------------------------------------

static float one_chain(float sum, struct ttzo_operand left, struct ttzo_operand right, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++, left.at += left.inner, right.at += right.inner)
        sum = TTZO_MULADD(*left.at, *right.at, sum);
    return sum;
}

// Outputs side by side keep their chains in registers and share loads. Steps that are known where these functions are
// inlined take no instructions of their own.
static inline void four_chains_by(float sums[4], const float *a, uint32_t a_step, struct ttzo_operand right,
                                  uint32_t b_step, uint32_t n)
{
    const float *b0 = right.at, *b1 = b0 + right.outer, *b2 = b1 + right.outer, *b3 = b2 + right.outer;
    float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (; n; n--, a += a_step, b0 += b_step, b1 += b_step, b2 += b_step, b3 += b_step) {
        s0 = TTZO_MULADD(*a, *b0, s0);
        s1 = TTZO_MULADD(*a, *b1, s1);
        s2 = TTZO_MULADD(*a, *b2, s2);
        s3 = TTZO_MULADD(*a, *b3, s3);
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

// Four rows of four outputs, `columns` apart.
static inline void sixteen_chains_by(float *out, uint32_t columns, struct ttzo_operand left, uint32_t a_step,
                                     struct ttzo_operand right, uint32_t b_step, uint32_t n)
{
    const float *a0 = left.at, *a1 = a0 + left.outer, *a2 = a1 + left.outer, *a3 = a2 + left.outer;
    const float *b0 = right.at, *b1 = b0 + right.outer, *b2 = b1 + right.outer, *b3 = b2 + right.outer;
    float *out0 = out, *out1 = out0 + columns, *out2 = out1 + columns, *out3 = out2 + columns;
    float s00 = out0[0], s01 = out0[1], s02 = out0[2], s03 = out0[3], s10 = out1[0], s11 = out1[1], s12 = out1[2],
          s13 = out1[3], s20 = out2[0], s21 = out2[1], s22 = out2[2], s23 = out2[3], s30 = out3[0], s31 = out3[1],
          s32 = out3[2], s33 = out3[3];
    for (; n; n--, a0 += a_step, a1 += a_step, a2 += a_step, a3 += a_step) {
        float c0 = *b0, c1 = *b1, c2 = *b2, c3 = *b3;
        b0 += b_step, b1 += b_step, b2 += b_step, b3 += b_step;
        s00 = TTZO_MULADD(*a0, c0, s00), s01 = TTZO_MULADD(*a0, c1, s01);
        s02 = TTZO_MULADD(*a0, c2, s02), s03 = TTZO_MULADD(*a0, c3, s03);
        s10 = TTZO_MULADD(*a1, c0, s10), s11 = TTZO_MULADD(*a1, c1, s11);
        s12 = TTZO_MULADD(*a1, c2, s12), s13 = TTZO_MULADD(*a1, c3, s13);
        s20 = TTZO_MULADD(*a2, c0, s20), s21 = TTZO_MULADD(*a2, c1, s21);
        s22 = TTZO_MULADD(*a2, c2, s22), s23 = TTZO_MULADD(*a2, c3, s23);
        s30 = TTZO_MULADD(*a3, c0, s30), s31 = TTZO_MULADD(*a3, c1, s31);
        s32 = TTZO_MULADD(*a3, c2, s32), s33 = TTZO_MULADD(*a3, c3, s33);
    }
    out0[0] = s00, out0[1] = s01, out0[2] = s02, out0[3] = s03;
    out1[0] = s10, out1[1] = s11, out1[2] = s12, out1[3] = s13;
    out2[0] = s20, out2[1] = s21, out2[2] = s22, out2[3] = s23;
    out3[0] = s30, out3[1] = s31, out3[2] = s32, out3[3] = s33;
}

// The same where the right numbers of four columns are neighbours.
static void sixteen_chains(float *out, uint32_t columns, struct ttzo_operand left, struct ttzo_operand right,
                           uint32_t n)
{
    struct ttzo_operand neighbours = { right.at, 1, right.inner };
    if (left.inner == 1)
        sixteen_chains_by(out, columns, left, 1, neighbours, right.inner, n);
    else
        sixteen_chains_by(out, columns, left, left.inner, neighbours, right.inner, n);
}

// Row by row. `fours`: so many columns, a multiple of 4, go four at a time.
static inline void add_rows(float *out, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows, uint32_t n,
                            uint32_t columns, uint32_t fours)
{
    for (uint32_t i = 0; i < rows; i++, left.at += left.outer) {
        struct ttzo_operand b = right;
        uint32_t j = 0;
        for (; j < fours; j += 4, b.at += 4 * b.outer, out += 4)
            four_chains_by(out, left.at, left.inner, b, right.inner, n);
        for (; j < columns; j++, b.at += b.outer, out++)
            *out = one_chain(*out, left, b, n);
    }
}

// Four rows at a time, and one at a time in the columns that are left over: a product commutes, so that the rows take
// the place of columns there.
static void add_blocks(float *out, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows, uint32_t n,
                       uint32_t columns, uint32_t fours)
{
    for (; rows >= 4; rows -= 4, left.at += 4 * left.outer, out += 4 * columns) {
        struct ttzo_operand b = right;
        uint32_t j = 0;
        for (; j < fours; j += 4, b.at += 4 * b.outer)
            if (right.outer == 1)
                sixteen_chains(out + j, columns, left, b, n);
            else
                sixteen_chains_by(out + j, columns, left, 1, b, 1, n);
        for (; j < columns; j++, b.at += b.outer) {
            float *at = out + j, sums[4] = { at[0], at[columns], at[2 * columns], at[3 * columns] };
            four_chains_by(sums, b.at, b.inner, left, left.inner, n);
            at[0] = sums[0], at[columns] = sums[1], at[2 * columns] = sums[2], at[3 * columns] = sums[3];
        }
    }
}

// out += left . right over n summed indices.
static void add_run(float *out, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows, uint32_t n,
                    uint32_t columns)
{
#if TTZO_LANES > 1
    if (right.outer == 1) {
        ttzo_lanes_product(out, out, left, right, rows, n, columns);
        return;
    }
#endif
    uint32_t fours = TTZO_TILE ? columns & ~3u : 0;
    bool neighbours = left.inner == 1 && right.inner == 1;
    if (TTZO_COMPACT) {
        add_rows(out, left, right, rows, n, columns, fours);
        return;
    }
    if (fours && rows >= 4 && (right.outer == 1 || neighbours)) {
        add_blocks(out, left, right, rows, n, columns, fours);
        uint32_t done = rows & ~3u;
        left.at += done * left.outer, out += done * columns, rows -= done;
    }
    if (neighbours)
        add_rows(out, (struct ttzo_operand){ left.at, left.outer, 1 },
                 (struct ttzo_operand){ right.at, right.outer, 1 }, rows, n, columns, fours);
    else if (right.outer == 1)
        add_rows(out, left, (struct ttzo_operand){ right.at, 1, right.inner }, rows, n, columns, fours);
    else
        add_rows(out, left, right, rows, n, columns, fours);
}

// The operands from summed index k on.
static struct ttzo_operand from(struct ttzo_operand operand, uint32_t k)
{
    operand.at += k * operand.inner;
    return operand;
}

// The same over the listed indices alone: run by run of neighbours.
static void add_listed(float *out, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows, uint32_t columns,
                       const uint16_t *live, uint32_t n)
{
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && live[end] == live[end - 1] + 1; end++)
            continue;
        add_run(out, from(left, live[i]), from(right, live[i]), rows, end - i, columns);
    }
}

#if TTZO_LANES > 1

// Whether no summed index is left out.
static bool is_dense(struct ttzo_operand data, uint32_t outer, uint32_t inner)
{
    for (uint32_t k = 0; k < inner; k++, data.at += data.inner)
        if (all_zero(data.at, data.outer, outer))
            return false;
    return true;
}

#endif

uint32_t ttzo_product(float *out, const float *start, struct ttzo_operand left, struct ttzo_operand right,
                      uint32_t rows, uint32_t inner, uint32_t columns, enum ttzo_data data)
{
    uint16_t live[CHUNK];
    uint32_t done = 0;
#if TTZO_LANES > 1
    if (right.outer == 1 && (data == TTZO_DATA_NONE || (data == TTZO_DATA_RIGHT && is_dense(right, columns, inner)))) {
        ttzo_lanes_product(out, start, left, right, rows, inner, columns);
        return rows * inner * columns;
    }
#endif
    if (!start)
        for (uint32_t i = 0; i < rows * columns; i++)
            out[i] = 0.0f;
    else if (start != out)
        for (uint32_t i = 0; i < rows * columns; i++)
            out[i] = start[i];
    if (data == TTZO_DATA_NONE) {
        add_run(out, left, right, rows, inner, columns);
        return rows * inner * columns;
    }
    for (uint32_t k = 0; k < inner; k += CHUNK) {
        bool on_left = data == TTZO_DATA_LEFT;
        uint32_t n = list_live(live, from(on_left ? left : right, k), on_left ? rows : columns,
                               inner - k < CHUNK ? inner - k : CHUNK);
        add_listed(out, from(left, k), from(right, k), rows, columns, live, n);
        done += n * rows * columns;
    }
    return done;
}

// ---- queries side by side -------------------------------------------------------------------------------------------

uint32_t ttzo_product_at_places(float *out, uint32_t stride, const float *changes, const uint16_t *places, uint32_t n,
                                struct ttzo_operand matrix, uint32_t columns, uint32_t n_queries)
{
    for (uint32_t j = 0; j < columns; j++, matrix.at += matrix.inner) {
        const float *change = changes;
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        for (uint32_t i = 0; i < n; i++, change += TTZO_QUERIES_AT_ONCE) {
            float w = matrix.at[places[i] * matrix.outer];
            s0 = TTZO_MULADD(w, change[0], s0);
            s1 = TTZO_MULADD(w, change[1], s1);
            s2 = TTZO_MULADD(w, change[2], s2);
            s3 = TTZO_MULADD(w, change[3], s3);
        }
        out[j] = s0;
        out[stride + j] = s1;
        out[2 * stride + j] = s2;
        out[3 * stride + j] = s3;
    }
    return n * columns * n_queries;
}
