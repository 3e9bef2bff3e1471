// SPDX-License-Identifier: MIT
#include "network/four_columns.h"

#include "network/thumb_tile.h"

// Chains of up to four rows, side by side: what those of each row begin with, and their length.
struct chains {
    float start[4];
    uint32_t inner;
};

// ---- four rows, two, one --------------------------------------------------------------------------------------------

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

#define RIGHT "vldmia %[right], {s28-s31}\n add %[right], %[right_step]\n"
#define SPREAD(first, second, third, fourth)                                                                           \
    "vmov.f32 s" #second ", s" #first "\n vmov.f32 s" #third ", s" #first "\n vmov.f32 s" #fourth ", s" #first "\n"

static void four_rows(float *out, uint32_t row_step, const struct chains *chains, const float *rows, uint32_t rows_step,
                      const float *right, uint32_t right_step)
{
    const float *b = rows + rows_step, *c = b + rows_step, *d = c + rows_step;
    const void *at = chains; // then how many pairs of summed indices are left: one register less
    __asm volatile(
        "vldr s0, [%[at]]\n vldr s4, [%[at], #4]\n vldr s8, [%[at], #8]\n"
        "vldr s12, [%[at], #12]\n" SPREAD(0, 1, 2, 3) SPREAD(4, 5, 6, 7) SPREAD(8, 9, 10, 11)
            SPREAD(12, 13, 14, 15) "ldr %[at], [%[at], #16]\n lsrs %[at], #1\n bcc 1f\n"
                                   "vldmia %[a]!, {s16}\n vldmia %[b]!, {s18}\n vldmia %[c]!, {s20}\n"
                                   "vldmia %[d]!, {s22}\n" RIGHT TTZO_STEP(16, 18, 20, 22, 28, 29, 30, 31) //
        "1: beq 3f\n"
        "2: vldmia %[a]!, {s16-s17}\n vldmia %[b]!, {s18-s19}\n vldmia %[c]!, {s20-s21}\n"
        "vldmia %[d]!, {s22-s23}\n" RIGHT TTZO_STEP(16, 18, 20, 22, 28, 29, 30, 31)
            RIGHT TTZO_STEP(17, 19, 21, 23, 28, 29, 30, 31) //
        "subs %[at], #1\n bne 2b\n"
        "3: vstmia %[out], {s0-s3}\n add %[out], %[row_step]\n"
        "vstmia %[out], {s4-s7}\n add %[out], %[row_step]\n"
        "vstmia %[out], {s8-s11}\n add %[out], %[row_step]\n"
        "vstmia %[out], {s12-s15}\n"
        : [out] "+r"(out), [a] "+r"(rows), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [right] "+r"(right), [at] "+r"(at)
        : [row_step] "r"(4 * row_step), [right_step] "r"(4 * right_step)
        : TTZO_TILE_CLOBBERS);
}

static void two_rows(float *out, uint32_t row_step, const struct chains *chains, const float *rows, uint32_t rows_step,
                     const float *right, uint32_t right_step)
{
    const float *b = rows + rows_step;
    uint32_t n = chains->inner;
    __asm volatile("vldr s0, [%[start]]\n vldr s4, [%[start], #4]\n" SPREAD(0, 1, 2, 3) SPREAD(4, 5, 6, 7) //
                   "0: vldmia %[a]!, {s16}\n vldmia %[b]!, {s18}\n" RIGHT TTZO_ROW(0, 1, 2, 3, 16, 28, 29, 30, 31)
                       TTZO_ROW(4, 5, 6, 7, 18, 28, 29, 30, 31) //
                   "subs %[n], #1\n bne 0b\n"
                   "vstmia %[out], {s0-s3}\n add %[out], %[row_step]\n vstmia %[out], {s4-s7}\n"
                   : [out] "+r"(out), [a] "+r"(rows), [b] "+r"(b), [right] "+r"(right), [n] "+r"(n)
                   : [start] "r"(chains), [row_step] "r"(4 * row_step), [right_step] "r"(4 * right_step)
                   : TTZO_TILE_CLOBBERS);
}

static void one_row(float *out, float start, const float *row, const float *right, uint32_t right_step, uint32_t inner)
{
    float s0 = start, s1 = start, s2 = start, s3 = start;
    for (; inner; inner--, row++, right += right_step) {
        s0 = TTZO_MULADD(*row, right[0], s0), s1 = TTZO_MULADD(*row, right[1], s1);
        s2 = TTZO_MULADD(*row, right[2], s2), s3 = TTZO_MULADD(*row, right[3], s3);
    }
    out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

#else

static void one_row(float *out, float start, const float *row, const float *right, uint32_t right_step, uint32_t inner)
{
    for (uint32_t j = 0; j < 4; j += TTZO_LANES) {
        ttzo_lanes sum = ttzo_lanes_of(start);
        for (uint32_t k = 0; k < inner; k++)
            sum = TTZO_MULADD(row[k], ttzo_lanes_load(right + k * right_step + j), sum);
        ttzo_lanes_store(out + j, sum);
    }
}

static void two_rows(float *out, uint32_t row_step, const struct chains *chains, const float *rows, uint32_t rows_step,
                     const float *right, uint32_t right_step)
{
    one_row(out, chains->start[0], rows, right, right_step, chains->inner);
    one_row(out + row_step, chains->start[1], rows + rows_step, right, right_step, chains->inner);
}

static void four_rows(float *out, uint32_t row_step, const struct chains *chains, const float *rows, uint32_t rows_step,
                      const float *right, uint32_t right_step)
{
    for (uint32_t j = 0; j < 4; j += TTZO_LANES) {
        const float *a = rows, *b = a + rows_step, *c = b + rows_step, *d = c + rows_step, *at = right + j;
        ttzo_lanes s0 = ttzo_lanes_of(chains->start[0]), s1 = ttzo_lanes_of(chains->start[1]);
        ttzo_lanes s2 = ttzo_lanes_of(chains->start[2]), s3 = ttzo_lanes_of(chains->start[3]);
        for (uint32_t k = 0; k < chains->inner; k++, at += right_step) {
            ttzo_lanes numbers = ttzo_lanes_load(at);
            s0 = TTZO_MULADD(a[k], numbers, s0);
            s1 = TTZO_MULADD(b[k], numbers, s1);
            s2 = TTZO_MULADD(c[k], numbers, s2);
            s3 = TTZO_MULADD(d[k], numbers, s3);
        }
        ttzo_lanes_store(out + j, s0);
        ttzo_lanes_store(out + row_step + j, s1);
        ttzo_lanes_store(out + 2 * row_step + j, s2);
        ttzo_lanes_store(out + 3 * row_step + j, s3);
    }
}

#endif

// ---- all rows -------------------------------------------------------------------------------------------------------

void ttzo_multiply_four_columns(float *out, uint32_t row_step, const float *bias, uint32_t bias_step, const float *rows,
                                uint32_t rows_step, const float *right, uint32_t right_step, uint32_t n, uint32_t inner)
{
    struct chains chains = { { 0.0f, 0.0f, 0.0f, 0.0f }, inner };
    while (n) {
        uint32_t count = n >= 4 ? 4 : n >= 2 ? 2 : 1;
        for (uint32_t i = 0; bias && i < count; i++, bias += bias_step)
            chains.start[i] = *bias;
        if (count == 4)
            four_rows(out, row_step, &chains, rows, rows_step, right, right_step);
        else if (count == 2)
            two_rows(out, row_step, &chains, rows, rows_step, right, right_step);
        else
            one_row(out, chains.start[0], rows, right, right_step, inner);
        n -= count, rows += count * rows_step, out += count * row_step;
    }
}
