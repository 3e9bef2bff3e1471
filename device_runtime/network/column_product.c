// SPDX-License-Identifier: MIT
#include "network/column_product.h"

#include <stddef.h>

#include "network/lanes.h"
#include "network/thumb_tile.h"
#include "number/real.h"

// ---- n tiles below each other: 4 n rows of 4 columns ----------------------------------------------------------------

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

// Code that may lie anywhere keeps a register for that: too few are left where the tiles are taken in elsewhere.
#ifdef __PIC__
#define ALONE __attribute__((noinline))
#else
#define ALONE
#endif

#define ONE_STEP                                                                                                       \
    "vldmia %[a], {s16-s19}\n add %[a], %[a_step]\n vldmia %[b], {s20-s23}\n add %[b], %[b_step]\n" TTZO_STEP(         \
        16, 17, 18, 19, 20, 21, 22, 23)

ALONE static void tiles(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right,
                        uint32_t inner, uint32_t n, bool adds)
{
    static const float zeros[16] = { 0.0f };
    const float *a, *b, *start = adds ? NULL : zeros;
    uint32_t k;
    __asm volatile("0: mov %[a], %[left]\n mov %[b], %[right]\n"
                   "cbz %[start], 5f\n vldmia %[start], {s0-s15}\n b 6f\n"
                   "5: mov %[k], %[out]\n"
                   "vldmia %[k], {s0-s3}\n add %[k], %[row_step]\n vldmia %[k], {s4-s7}\n add %[k], %[row_step]\n"
                   "vldmia %[k], {s8-s11}\n add %[k], %[row_step]\n vldmia %[k], {s12-s15}\n"
                   "6: lsrs %[k], %[inner], #1\n bcc 1f\n" ONE_STEP // carry: the bit that went
                   "1: beq 4f\n"
                   "3: subs %[k], #1\n" ONE_STEP ONE_STEP "bne 3b\n"
                   "4: vstmia %[out], {s0-s3}\n add %[out], %[row_step]\n"
                   "vstmia %[out], {s4-s7}\n add %[out], %[row_step]\n"
                   "vstmia %[out], {s8-s11}\n add %[out], %[row_step]\n"
                   "vstmia %[out], {s12-s15}\n add %[out], %[row_step]\n"
                   "add %[left], #16\n subs %[n], #1\n bne 0b\n"
                   : [out] "+r"(out), [left] "+r"(left.at), [a] "=&r"(a), [b] "=&r"(b), [k] "=&l"(k), [n] "+l"(n)
                   : [right] "r"(right.at), [inner] "l"(inner), [row_step] "r"(4 * stride), [a_step] "r"(4 * left.step),
                     [b_step] "r"(4 * right.step), [start] "l"(start)
                   : TTZO_TILE_CLOBBERS);
}

#else

// Four rows of as many columns as there are lanes.
static void lanes(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner,
                  bool adds)
{
    ttzo_lanes zero = ttzo_lanes_of(0.0f), s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    float *out1 = out + stride, *out2 = out1 + stride, *out3 = out2 + stride;
    if (adds)
        s0 = ttzo_lanes_load(out), s1 = ttzo_lanes_load(out1), s2 = ttzo_lanes_load(out2), s3 = ttzo_lanes_load(out3);
    for (const float *a = left.at, *b = right.at; inner; inner--, a += left.step, b += right.step) {
        ttzo_lanes numbers = ttzo_lanes_load(b);
        s0 = TTZO_MULADD(a[0], numbers, s0);
        s1 = TTZO_MULADD(a[1], numbers, s1);
        s2 = TTZO_MULADD(a[2], numbers, s2);
        s3 = TTZO_MULADD(a[3], numbers, s3);
    }
    ttzo_lanes_store(out, s0), ttzo_lanes_store(out1, s1), ttzo_lanes_store(out2, s2), ttzo_lanes_store(out3, s3);
}

static void tiles(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner,
                  uint32_t n, bool adds)
{
    for (; n; n--, out += 4 * stride, left.at += 4)
        for (uint32_t j = 0; j < 4; j += TTZO_LANES)
            lanes(out + j, stride, left, (struct ttzo_columns){ right.at + j, right.step }, inner, adds);
}

#endif

// ---- all of it ------------------------------------------------------------------------------------------------------

static float one_chain(float sum, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner)
{
    for (; inner; inner--, left.at += left.step, right.at += right.step)
        sum = TTZO_MULADD(*left.at, *right.at, sum);
    return sum;
}

void ttzo_column_product(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right,
                         uint32_t rows, uint32_t inner, uint32_t columns, bool adds)
{
    uint32_t whole = rows / 4u;
    for (; columns; out += 4, right.at += 4, columns -= 4) {
        uint32_t n = columns < 4 ? columns : 4, first = n == 4 ? 4 * whole : 0;
        if (first)
            tiles(out, stride, left, right, inner, whole, adds);
        for (uint32_t i = first; i < rows; i++)
            for (uint32_t j = 0; j < n; j++) {
                float *at = out + i * stride + j;
                *at = one_chain(adds ? *at : 0.0f, (struct ttzo_columns){ left.at + i, left.step },
                                (struct ttzo_columns){ right.at + j, right.step }, inner);
            }
        if (n < 4)
            return;
    }
}

typedef TTZO_SIZE_BITS __attribute__((may_alias)) any_bits; // as integers, numbers are loaded by an index

void ttzo_lay_columns(float *out, struct ttzo_operand matrix, uint32_t lines, uint32_t inner)
{
    uint32_t line = 0;
    for (; line + 4 <= lines; line += 4, matrix.at += 4 * matrix.outer) {
        const any_bits *a = (const any_bits *)(const void *)matrix.at, *b = a + matrix.outer, *c = b + matrix.outer;
        const any_bits *d = c + matrix.outer;
        any_bits *to = (any_bits *)(void *)(out + line);
        for (uint32_t k = 0, at = 0; k < inner; k++, at += matrix.inner, to += lines) {
            any_bits of_a = a[at], of_b = b[at], of_c = c[at], of_d = d[at];
            to[0] = of_a, to[1] = of_b, to[2] = of_c, to[3] = of_d;
        }
    }
    for (; line < lines; line++, matrix.at += matrix.outer)
        for (uint32_t k = 0; k < inner; k++)
            out[k * lines + line] = matrix.at[k * matrix.inner];
}

static bool is_zero(const float *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (at[i] != 0.0f)
            return false;
    return true;
}

struct ttzo_range ttzo_live_range(struct ttzo_columns four, uint32_t inner, uint32_t n)
{
    struct ttzo_range live = { 0, inner };
    while (live.end > 0 && is_zero(four.at + (live.end - 1) * four.step, n))
        live.end--;
    while (live.first < live.end && is_zero(four.at + live.first * four.step, n))
        live.first++;
    return live;
}
