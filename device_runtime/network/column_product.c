// SPDX-License-Identifier: MIT
#include "network/column_product.h"

#include <stddef.h>

#include "network/lanes.h"
#include "network/thumb_tile.h"
#include "number/real.h"

// ---- n tiles beside each other: 4 rows of 4 n columns, or 2 rows of 8 n ---------------------------------------------

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

#define STEP_OF_4                                                                                                      \
    "vldmia %[a], {s16-s19}\n add %[a], %[a_step]\n vldmia %[b], {s20-s23}\n add %[b], %[b_step]\n" TTZO_STEP(         \
        16, 17, 18, 19, 20, 21, 22, 23)
#define PAIR_ROW(c0, c1, c2, c3, c4, c5, c6, c7, a)                                                                    \
    TTZO_CELL(c0, a, 18, 26)                                                                                           \
    TTZO_CELL(c1, a, 19, 27)                                                                                           \
    TTZO_CELL(c2, a, 20, 28)                                                                                           \
    TTZO_CELL(c3, a, 21, 29)                                                                                           \
    TTZO_CELL(c4, a, 22, 26) TTZO_CELL(c5, a, 23, 27) TTZO_CELL(c6, a, 24, 28) TTZO_CELL(c7, a, 25, 29)
#define STEP_OF_2                                                                                                      \
    "vldmia %[a], {s16-s17}\n add %[a], %[a_step]\n vldmia %[b], {s18-s25}\n add %[b], %[b_step]\n" PAIR_ROW(          \
        0, 1, 2, 3, 4, 5, 6, 7, 16) PAIR_ROW(8, 9, 10, 11, 12, 13, 14, 15, 17)
#define NEXT_ROW "add %[k], %[row_step]\n"
#define ROWS_OF_4(to)                                                                                                  \
    "mov %[k], %[out]\n " to " %[k], {s0-s3}\n" NEXT_ROW to " %[k], {s4-s7}\n" NEXT_ROW to                             \
    " %[k], {s8-s11}\n" NEXT_ROW to " %[k], {s12-s15}\n"
#define ROWS_OF_2(to) "mov %[k], %[out]\n " to " %[k], {s0-s7}\n" NEXT_ROW to " %[k], {s8-s15}\n"

#define TILES(all_rows, one_step, width)                                                                               \
    __asm volatile(                                                                                                    \
        "0: mov %[a], %[left]\n mov %[b], %[right]\n"                                                                  \
        "cbz %[start], 5f\n vldmia %[start], {s0-s15}\n b 6f\n"                                                        \
        "5: " all_rows("vldmia") "6: lsrs %[k], %[inner], #1\n bcc 1f\n" one_step /* carry: the bit that went */       \
                                 "1: beq 4f\n"                                                                         \
                                 "3: subs %[k], #1\n" one_step one_step "bne 3b\n"                                     \
                                 "4: " all_rows("vstmia") "add %[out], #" width "\n add %[right], #" width             \
                                                          "\n subs %[n], #1\n bne 0b\n"                                \
        : [out] "+r"(out), [right] "+r"(right.at), [a] "=&r"(a), [b] "=&r"(b), [k] "=&l"(k), [n] "+l"(n)               \
        : [left] "r"(left.at), [inner] "l"(inner), [row_step] "r"(4 * stride), [a_step] "r"(4 * left.step),            \
          [b_step] "r"(4 * right.step), [start] "l"(start)                                                             \
        : TTZO_TILE_CLOBBERS)

static const float zeros[16] = { 0.0f };

// Functions of their own: a tile takes all core registers, so that -Os cannot inline it.
__attribute__((noinline)) static void tiles(float *out, uint32_t stride, struct ttzo_columns left,
                                            struct ttzo_columns right, uint32_t inner, uint32_t n, bool adds)
{
    const float *a, *b, *start = adds ? NULL : zeros;
    uint32_t k;
    TILES(ROWS_OF_4, STEP_OF_4, "16");
}

__attribute__((noinline)) static void flat_tiles(float *out, uint32_t stride, struct ttzo_columns left,
                                                 struct ttzo_columns right, uint32_t inner, uint32_t n, bool adds)
{
    const float *a, *b, *start = adds ? NULL : zeros;
    uint32_t k;
    TILES(ROWS_OF_2, STEP_OF_2, "32");
}

#else

// Four accumulators of as many columns as there are lanes: of four rows, or `flat`: two of each of two rows.
static inline void lanes(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right,
                         uint32_t inner, bool adds, bool flat)
{
    ttzo_lanes zero = ttzo_lanes_of(0.0f), s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    const uint32_t beside = flat ? TTZO_LANES : 0, row1 = flat ? 0 : 1, row2 = flat ? 1 : 2, row3 = flat ? 1 : 3;
    float *out1 = out + row1 * stride + beside, *out2 = out + row2 * stride, *out3 = out + row3 * stride + beside;
    if (adds)
        s0 = ttzo_lanes_load(out), s1 = ttzo_lanes_load(out1), s2 = ttzo_lanes_load(out2), s3 = ttzo_lanes_load(out3);
    for (const float *a = left.at, *b = right.at; inner; inner--, a += left.step, b += right.step) {
        ttzo_lanes first = ttzo_lanes_load(b), second = ttzo_lanes_load(b + beside);
        s0 = TTZO_MULADD(a[0], first, s0);
        s1 = TTZO_MULADD(a[row1], second, s1);
        s2 = TTZO_MULADD(a[row2], first, s2);
        s3 = TTZO_MULADD(a[row3], second, s3);
    }
    ttzo_lanes_store(out, s0), ttzo_lanes_store(out1, s1), ttzo_lanes_store(out2, s2), ttzo_lanes_store(out3, s3);
}

static void tiles(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner,
                  uint32_t n, bool adds)
{
    for (uint32_t j = 0; j < 4 * n; j += TTZO_LANES)
        lanes(out + j, stride, left, (struct ttzo_columns){ right.at + j, right.step }, inner, adds, false);
}

static void flat_tiles(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner,
                       uint32_t n, bool adds)
{
    for (uint32_t j = 0; j < 8 * n; j += 2 * TTZO_LANES)
        lanes(out + j, stride, left, (struct ttzo_columns){ right.at + j, right.step }, inner, adds, true);
}

#endif

// ---- all of it ------------------------------------------------------------------------------------------------------
static float one_chain(float sum, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner)
{
    for (; inner; inner--, left.at += left.step, right.at += right.step)
        sum = TTZO_MULADD(*left.at, *right.at, sum);
    return sum;
}

// Rows of all columns from column `first` on, one number after the other.
static void chains(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right, uint32_t inner,
                   uint32_t rows, uint32_t first, uint32_t columns, bool adds)
{
    for (uint32_t i = 0; i < rows; i++, out += stride, left.at++)
        for (uint32_t j = first; j < columns; j++)
            out[j] = one_chain(adds ? out[j] : 0.0f, left, (struct ttzo_columns){ right.at + j, right.step }, inner);
}

void ttzo_column_product(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right,
                         uint32_t rows, uint32_t inner, uint32_t columns, bool adds)
{
    uint32_t n;
    for (; rows; rows -= n, out += n * stride, left.at += n) {
        uint32_t tile = rows >= 4 ? 4 : 8, whole = columns / tile;
        n = rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
        if (n == 4 && whole)
            tiles(out, stride, left, right, inner, whole, adds);
        else if (n == 2 && whole)
            flat_tiles(out, stride, left, right, inner, whole, adds);
        chains(out, stride, left, right, inner, n, n > 1 ? tile * whole : 0, columns, adds);
    }
}

typedef TTZO_SIZE_BITS __attribute__((may_alias)) any_bits; // as integers, numbers are loaded by an index

void ttzo_lay_columns(float *out, uint32_t step, struct ttzo_operand matrix, uint32_t lines, uint32_t inner)
{
    uint32_t line = 0;
    for (; line + 4 <= lines; line += 4, matrix.at += 4 * matrix.outer) {
        const any_bits *a = (const any_bits *)(const void *)matrix.at, *b = a + matrix.outer, *c = b + matrix.outer;
        const any_bits *d = c + matrix.outer;
        any_bits *to = (any_bits *)(void *)(out + line);
        for (uint32_t k = 0, at = 0; k < inner; k++, at += matrix.inner, to += step) {
            any_bits of_a = a[at], of_b = b[at], of_c = c[at], of_d = d[at];
            to[0] = of_a, to[1] = of_b, to[2] = of_c, to[3] = of_d;
        }
    }
    for (; line < lines; line++, matrix.at += matrix.outer) {
        const any_bits *from = (const any_bits *)(const void *)matrix.at;
        any_bits *to = (any_bits *)(void *)(out + line);
        for (uint32_t k = 0; k < inner; k++, from += matrix.inner, to += step)
            *to = *from;
    }
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
