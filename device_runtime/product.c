// SPDX-License-Identifier: MIT
#include "product.h"

#include <stddef.h>

#include "real.h"

// Summed indices are looked at in blocks of so many; the chains go on from block to block through `out`.
#define BLOCK 64u

// ---- which summed indices count -------------------------------------------------------------------------------------

static bool all_zero(const float *at, uint32_t stride, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, at += stride)
        if (*at != 0.0f)
            return false;
    return true;
}

// The indices below `n` at which the data operand is not zero throughout, in ascending order; returns how many.
static uint32_t list_live(uint16_t live[BLOCK], struct ttzo_operand data, uint32_t outer, uint32_t n)
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

// Four neighbouring outputs at a time keep their chains in registers and share each load of the left number.
static void four_chains(float sums[4], struct ttzo_operand left, struct ttzo_operand right, uint32_t n)
{
    const float *b = right.at;
    float s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (uint32_t k = 0; k < n; k++, left.at += left.inner, b += right.inner) {
        float a = *left.at;
        s0 = TTZO_MULADD(a, b[0], s0);
        s1 = TTZO_MULADD(a, b[right.outer], s1);
        s2 = TTZO_MULADD(a, b[2 * right.outer], s2);
        s3 = TTZO_MULADD(a, b[3 * right.outer], s3);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

// out += left . right over n summed indices.
static void add_run(float *out, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows, uint32_t n,
                    uint32_t columns)
{
    for (uint32_t i = 0; i < rows; i++, left.at += left.outer) {
        struct ttzo_operand b = right;
        uint32_t j = 0;
        for (; j + 4 <= columns; j += 4, b.at += 4 * b.outer, out += 4)
            four_chains(out, left, b, n);
        for (; j < columns; j++, b.at += b.outer, out++)
            *out = one_chain(*out, left, b, n);
    }
}

// The operands from summed index k on.
static struct ttzo_operand from(struct ttzo_operand operand, uint32_t k)
{
    operand.at += k * operand.inner;
    return operand;
}

// The same over the listed indices alone: run by run of neighbours.
static void add_listed(float *out, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows,
                       uint32_t columns, const uint16_t *live, uint32_t n)
{
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && live[end] == live[end - 1] + 1; end++)
            continue;
        add_run(out, from(left, live[i]), from(right, live[i]), rows, end - i, columns);
    }
}

uint32_t ttzo_product(float *out, const float *start, struct ttzo_operand left, struct ttzo_operand right,
                      uint32_t rows, uint32_t inner, uint32_t columns, enum ttzo_data data)
{
    uint16_t live[BLOCK];
    uint32_t done = 0;
    if (start != out)
        for (uint32_t i = 0; i < rows * columns; i++)
            out[i] = start ? start[i] : 0.0f;
    if (data == TTZO_DATA_NONE) {
        add_run(out, left, right, rows, inner, columns);
        return rows * inner * columns;
    }
    for (uint32_t k = 0; k < inner; k += BLOCK) {
        bool on_left = data == TTZO_DATA_LEFT;
        uint32_t n = list_live(live, from(on_left ? left : right, k), on_left ? rows : columns,
                               inner - k < BLOCK ? inner - k : BLOCK);
        add_listed(out, from(left, k), from(right, k), rows, columns, live, n);
        done += n * rows * columns;
    }
    return done;
}

// ---- queries side by side -------------------------------------------------------------------------------------------

uint32_t ttzo_product_at_places(float *out, const float *changes, const uint16_t *places, uint32_t n,
                                const float *matrix, uint32_t place_stride, uint32_t column_stride, uint32_t columns,
                                uint32_t n_queries)
{
    for (uint32_t j = 0; j < columns; j++, matrix += column_stride) {
        const float *change = changes;
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        for (uint32_t i = 0; i < n; i++, change += TTZO_QUERIES_AT_ONCE) {
            float w = matrix[places[i] * place_stride];
            s0 = TTZO_MULADD(w, change[0], s0);
            s1 = TTZO_MULADD(w, change[1], s1);
            s2 = TTZO_MULADD(w, change[2], s2);
            s3 = TTZO_MULADD(w, change[3], s3);
        }
        out[j] = s0;
        out[columns + j] = s1;
        out[2 * columns + j] = s2;
        out[3 * columns + j] = s3;
    }
    return n * columns * n_queries;
}
