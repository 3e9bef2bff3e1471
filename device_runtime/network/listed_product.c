// SPDX-License-Identifier: MIT
#include "network/listed_product.h"

#include <stdbool.h>

#include "network/thumb_tile.h"
#include "network/tile.h"
#include "number/real.h"

// ---- a tile: 4 lines times 4 columns ---------------------------------------------------------------------------------

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

#define HAS_TILE true

static void tile(float *out, const float *left, const float *columns, uint32_t row_step, const uint16_t *rows,
                 uint32_t n)
{
    static const float zeros[16] = { 0.0f };
    const float *row;
    __asm volatile("vldmia %[zeros], {s0-s15}\n"
                   "0: ldrh %[row], [%[rows]], #2\n"
                   "subs %[n], #1\n"
                   "mla %[row], %[row], %[row_step], %[columns]\n"
                   "vldmia %[row], {s16-s19}\n vldmia %[left]!, {s20-s23}\n" TTZO_STEP(16, 17, 18, 19, 20, 21, 22,
                                                                                       23) "bne 0b\n"
                                                                                           "vstmia %[out], {s0-s15}\n"
                   : [left] "+r"(left), [rows] "+r"(rows), [n] "+r"(n), [row] "=&r"(row)
                   : [out] "r"(out), [zeros] "r"(zeros), [columns] "r"(columns), [row_step] "r"(4 * row_step)
                   : TTZO_TILE_CLOBBERS);
}

// The same where the columns stand `column_step` apart.
static void spread_tile(float *out, const float *left, const float *columns, uint32_t row_step, uint32_t column_step,
                        const uint16_t *rows, uint32_t n)
{
    static const float zeros[16] = { 0.0f };
    const float *at = zeros;
    __asm volatile(
        "vldmia %[at], {s0-s15}\n"
        "0: ldrh %[at], [%[rows]], #2\n subs %[n], #1\n"
        "mla %[at], %[at], %[row_step], %[columns]\n"
        "vldr s16, [%[at]]\n add %[at], %[column_step]\n vldr s17, [%[at]]\n"
        "add %[at], %[column_step]\n vldr s18, [%[at]]\n add %[at], %[column_step]\n vldr s19, [%[at]]\n"
        "vldmia %[left]!, {s20-s23}\n" TTZO_STEP(16, 17, 18, 19, 20, 21, 22, 23) //
        "bne 0b\n vstmia %[out], {s0-s15}\n"
        : [left] "+r"(left), [rows] "+r"(rows), [n] "+r"(n), [at] "+r"(at)
        : [out] "r"(out), [columns] "r"(columns), [row_step] "r"(4 * row_step), [column_step] "r"(4 * column_step)
        : TTZO_TILE_CLOBBERS);
}

#elif TTZO_TILE == 2 && !TTZO_FUSED && (defined(__SSE2__) || defined(__ARM_NEON))

#define HAS_TILE true

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

static inline void spread_tile(float *out, const float *left, const float *columns, uint32_t row_step,
                               uint32_t column_step, const uint16_t *rows, uint32_t n)
{
    four sums[4] = { { 0.0f }, { 0.0f }, { 0.0f }, { 0.0f } };
    for (; n; n--, left += 4) {
        const float *row = columns + *rows++ * row_step;
        for (uint32_t j = 0; j < 4; j++)
            sums[j] = TTZO_MULADD(row[j * column_step], *(const four *)(const void *)left, sums[j]);
    }
    for (uint32_t j = 0; j < 4; j++)
        *(four *)(void *)(out + 4 * j) = sums[j];
}

static void tile(float *out, const float *left, const float *columns, uint32_t row_step, const uint16_t *rows,
                 uint32_t n)
{
    spread_tile(out, left, columns, row_step, 1, rows, n);
}

#else

#define HAS_TILE false

static void tile(float *out, const float *left, const float *columns, uint32_t row_step, const uint16_t *rows,
                 uint32_t n)
{
    (void)out, (void)left, (void)columns, (void)row_step, (void)rows, (void)n;
}

static void spread_tile(float *out, const float *left, const float *columns, uint32_t row_step, uint32_t column_step,
                        const uint16_t *rows, uint32_t n)
{
    (void)out, (void)left, (void)columns, (void)row_step, (void)column_step, (void)rows, (void)n;
}

#endif

// ---- all columns ----------------------------------------------------------------------------------------------------

static void multiply_column(float *out, const float *left, const float *column, uint32_t row_step, const uint16_t *rows,
                            uint32_t n)
{
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    for (const uint16_t *end = rows + n; rows != end; rows++, left += 4) {
        float number = column[*rows * row_step];
        s0 = TTZO_MULADD(left[0], number, s0), s1 = TTZO_MULADD(left[1], number, s1);
        s2 = TTZO_MULADD(left[2], number, s2), s3 = TTZO_MULADD(left[3], number, s3);
    }
    out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

void ttzo_multiply_listed(float *out, const float *left, const struct ttzo_listed_matrix *matrix, const uint16_t *rows,
                          uint32_t n)
{
    uint32_t columns = matrix->columns, step = matrix->column_step;
    if (!HAS_TILE || columns < 4 || n == 0) {
        for (uint32_t j = 0; j < columns; j++)
            multiply_column(out + 4 * j, left, matrix->at + j * step, matrix->row_step, rows, n);
        return;
    }
    for (uint32_t j = 0; j < columns; j += 4) {
        uint32_t first = j + 4 <= columns ? j : columns - 4; // the last four again where they overlap: the same numbers
        if (step == 1)
            tile(out + 4 * first, left, matrix->at + first, matrix->row_step, rows, n);
        else
            spread_tile(out + 4 * first, left, matrix->at + first * step, matrix->row_step, step, rows, n);
    }
}
