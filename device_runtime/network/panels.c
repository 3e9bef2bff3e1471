// SPDX-License-Identifier: MIT
#include "network/panels.h"

#include <stdbool.h>
#include <stddef.h>

#include "network/thumb_tile.h"
#include "network/tile.h"
#include "network/wide.h"
#include "number/real.h"

// Without optimisation registers are short.
#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__OPTIMIZE__)
#define IN_REGISTERS 1
#else
#define IN_REGISTERS 0
#endif
#if IN_REGISTERS && defined(__ARM_FP)
#define IN_THUMB 1
#else
#define IN_THUMB 0
#endif

// ---- the tile: 4 lines times 4 lines, both as panels ----------------------------------------------------------------

#if TTZO_TILE == 0

static float one_chain(float sum, const float *left, const float *right, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        sum = TTZO_MULADD(left[4 * k], right[4 * k], sum);
    return sum;
}

static void multiply_panel(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                           uint32_t rows, uint32_t inner)
{
    for (uint32_t i = 0; i < rows; i++, out += row_stride, start += start ? row_stride : 0)
        for (uint32_t j = 0; j < 4; j++)
            out[j] = one_chain(start ? start[j] : 0.0f, left + i / 4 * 4 * inner + i % 4, right + j, inner);
}

#elif IN_THUMB

// Fused, s16-s23 hold two steps of a and s24-s31 two steps of b, so that each pair of loads feeds 32 vfma; separate, one
// step of each.
#define ONE_STEP "vldmia %[a]!, {s16-s19}\n vldmia %[b]!, {s20-s23}\n" TTZO_STEP(16, 17, 18, 19, 20, 21, 22, 23)
#if TTZO_FUSED
#define TWO_STEPS                                                                                                      \
    "vldmia %[a]!, {s16-s23}\n vldmia %[b]!, {s24-s31}\n" TTZO_STEP(16, 17, 18, 19, 24, 25, 26, 27)                    \
        TTZO_STEP(20, 21, 22, 23, 28, 29, 30, 31)
#else
#define TWO_STEPS ONE_STEP ONE_STEP
#endif
#if TTZO_COMPACT
#define CHAINS "movs %[fours], %[inner]\n beq 4f\n 3:" ONE_STEP "subs %[fours], #1\n bne 3b\n"
#else
#define CHAINS                                                                                                         \
    "lsrs %[fours], %[inner], #1\n bcc 1f\n" ONE_STEP /* carry: the bit that went */                                   \
    "1: lsrs %[fours], %[fours], #1\n bcc 2f\n" TWO_STEPS "2: beq 4f\n"                                                \
    "3: subs %[fours], #1\n" TWO_STEPS TWO_STEPS "bne 3b\n"
#endif

void ttzo_multiply_tiles(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                         uint32_t rows, uint32_t inner, const struct ttzo_more_panels *more)
{
    static const float zeros[16] = { 0.0f };
    const float *b;
    uint32_t fours, start_step = start ? 4 * row_stride : 0, n = rows / 4, panels = 0;
    uint32_t jumps[4]; // in bytes, to the next panel: of left (back), of out, of right; then tiles of a panel
    start = start ? start : zeros;
    if (more) {
        jumps[0] = 4 * rows * inner, jumps[1] = 4 * (more->out_step - rows * row_stride);
        jumps[2] = 4 * more->right_step, jumps[3] = n, panels = more->n;
    }
    __asm volatile(
        "0: mov %[b], %[right]\n"
        "cbnz %[start_step], 5f\n vldmia %[start], {s0-s15}\n b 6f\n" // zeros
        "5: vldmia %[start], {s0-s3}\n add %[start], %[start_step]\n"
        "vldmia %[start], {s4-s7}\n add %[start], %[start_step]\n"
        "vldmia %[start], {s8-s11}\n add %[start], %[start_step]\n"
        "vldmia %[start], {s12-s15}\n add %[start], %[start_step]\n"
        "6: " CHAINS "4: vstmia %[out], {s0-s3}\n add %[out], %[row_step]\n"
        "vstmia %[out], {s4-s7}\n add %[out], %[row_step]\n"
        "vstmia %[out], {s8-s11}\n add %[out], %[row_step]\n"
        "vstmia %[out], {s12-s15}\n add %[out], %[row_step]\n"
        "subs %[n], #1\n bne 0b\n"
        "cbz %[panels], 7f\n"
        "ldrd %[fours], %[n], [%[jumps]]\n sub %[a], %[fours]\n add %[out], %[n]\n"
        "ldrd %[fours], %[n], [%[jumps], #8]\n add %[right], %[fours]\n subs %[panels], #1\n b 0b\n"
        "7:\n"
        : [out] "+r"(out), [start] "+r"(start), [a] "+r"(left), [b] "=&r"(b), [fours] "=&r"(fours), [n] "+r"(n),
          [right] "+r"(right), [panels] "+l"(panels)
        : [inner] "r"(inner), [row_step] "r"(4 * row_stride), [start_step] "l"(start_step), [jumps] "r"(jumps)
        : TTZO_TILE_CLOBBERS);
}

#elif TTZO_LANES > 1

static void multiply_panel(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                           uint32_t rows, uint32_t inner)
{
    static const float zeros[4] = { 0.0f };
    uint32_t start_stride = start ? row_stride : 0;
    for (start = start ? start : zeros; rows; rows -= 4, out += 4 * row_stride, start += 4 * start_stride) {
        ttzo_lanes s0 = ttzo_lanes_load(start), s1 = ttzo_lanes_load(start + start_stride);
        ttzo_lanes s2 = ttzo_lanes_load(start + 2 * start_stride), s3 = ttzo_lanes_load(start + 3 * start_stride);
        const float *b = right;
        for (uint32_t k = 0; k < inner; k++, left += 4, b += 4) {
            ttzo_lanes numbers = ttzo_lanes_load(b);
            s0 = TTZO_MULADD(left[0], numbers, s0);
            s1 = TTZO_MULADD(left[1], numbers, s1);
            s2 = TTZO_MULADD(left[2], numbers, s2);
            s3 = TTZO_MULADD(left[3], numbers, s3);
        }
        ttzo_lanes_store(out, s0);
        ttzo_lanes_store(out + row_stride, s1);
        ttzo_lanes_store(out + 2 * row_stride, s2);
        ttzo_lanes_store(out + 3 * row_stride, s3);
    }
}

#if TTZO_WIDE > TTZO_LANES

// Two right panels, from zero.
static void multiply_two_panels(float *out, uint32_t row_stride, const float *left, const float *right, uint32_t rows,
                                uint32_t inner, const struct ttzo_more_panels *more)
{
    for (float *second = out + more->out_step; rows; rows -= 4, out += 4 * row_stride, second += 4 * row_stride) {
        ttzo_wide s0 = ttzo_wide_of(0.0f), s1 = s0, s2 = s0, s3 = s0;
        const float *b = right, *c = right + more->right_step;
        for (uint32_t k = 0; k < inner; k++, left += 4, b += 4, c += 4) {
            ttzo_wide numbers = ttzo_wide_of_two(b, c);
            s0 = TTZO_MULADD(left[0], numbers, s0);
            s1 = TTZO_MULADD(left[1], numbers, s1);
            s2 = TTZO_MULADD(left[2], numbers, s2);
            s3 = TTZO_MULADD(left[3], numbers, s3);
        }
        ttzo_wide_to_two(out, second, s0);
        ttzo_wide_to_two(out + row_stride, second + row_stride, s1);
        ttzo_wide_to_two(out + 2 * row_stride, second + 2 * row_stride, s2);
        ttzo_wide_to_two(out + 3 * row_stride, second + 3 * row_stride, s3);
    }
}

#endif

#else

// Two neighbouring numbers at once: on a core with FPU one load instruction brings both into registers.
typedef union {
    double both;
    float each[2];
} pair;
#if defined(__ARM_FP)
typedef double __attribute__((may_alias)) any_double;
static inline pair load(const float *at)
{
    return (pair){ .both = *(const any_double *)(const void *)at };
}
#else
static inline pair load(const float *at)
{
    return (pair){ .each = { at[0], at[1] } };
}
#endif

static void multiply_panel(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                           uint32_t rows, uint32_t inner)
{
    static const float zeros[4] = { 0.0f };
    uint32_t start_stride = start ? row_stride : 0;
    for (start = start ? start : zeros; rows; rows -= 4) {
        const float *b = right;
        float s00 = start[0], s01 = start[1], s02 = start[2], s03 = start[3];
        start += start_stride;
        float s10 = start[0], s11 = start[1], s12 = start[2], s13 = start[3];
        start += start_stride;
        float s20 = start[0], s21 = start[1], s22 = start[2], s23 = start[3];
        start += start_stride;
        float s30 = start[0], s31 = start[1], s32 = start[2], s33 = start[3];
        start += start_stride;
#define STEP(at)                                                                                                       \
    do {                                                                                                               \
        pair a01 = load(left + (at)), a23 = load(left + (at) + 2), b01 = load(b + (at)), b23 = load(b + (at) + 2);     \
        s00 = TTZO_MULADD(a01.each[0], b01.each[0], s00);                                                              \
        s01 = TTZO_MULADD(a01.each[0], b01.each[1], s01);                                                              \
        s02 = TTZO_MULADD(a01.each[0], b23.each[0], s02);                                                              \
        s03 = TTZO_MULADD(a01.each[0], b23.each[1], s03);                                                              \
        s10 = TTZO_MULADD(a01.each[1], b01.each[0], s10);                                                              \
        s11 = TTZO_MULADD(a01.each[1], b01.each[1], s11);                                                              \
        s12 = TTZO_MULADD(a01.each[1], b23.each[0], s12);                                                              \
        s13 = TTZO_MULADD(a01.each[1], b23.each[1], s13);                                                              \
        s20 = TTZO_MULADD(a23.each[0], b01.each[0], s20);                                                              \
        s21 = TTZO_MULADD(a23.each[0], b01.each[1], s21);                                                              \
        s22 = TTZO_MULADD(a23.each[0], b23.each[0], s22);                                                              \
        s23 = TTZO_MULADD(a23.each[0], b23.each[1], s23);                                                              \
        s30 = TTZO_MULADD(a23.each[1], b01.each[0], s30);                                                              \
        s31 = TTZO_MULADD(a23.each[1], b01.each[1], s31);                                                              \
        s32 = TTZO_MULADD(a23.each[1], b23.each[0], s32);                                                              \
        s33 = TTZO_MULADD(a23.each[1], b23.each[1], s33);                                                              \
    } while (0)
        for (uint32_t k = TTZO_COMPACT ? inner : inner % 4; k; k--, left += 4, b += 4)
            STEP(0);
        for (const float *end = right + 4 * inner; !TTZO_COMPACT && b != end; left += 16, b += 16) {
            STEP(0);
            STEP(4);
            STEP(8);
            STEP(12);
        }
#undef STEP
        out[0] = s00, out[1] = s01, out[2] = s02, out[3] = s03;
        out += row_stride;
        out[0] = s10, out[1] = s11, out[2] = s12, out[3] = s13;
        out += row_stride;
        out[0] = s20, out[1] = s21, out[2] = s22, out[3] = s23;
        out += row_stride;
        out[0] = s30, out[1] = s31, out[2] = s32, out[3] = s33;
        out += row_stride;
    }
}

#endif

#if TTZO_WIDE > TTZO_LANES

void ttzo_multiply_tiles(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                         uint32_t rows, uint32_t inner, const struct ttzo_more_panels *more)
{
    uint32_t n = more ? more->n + 1 : 1;
    for (; n >= 2; n -= 2, out += 2 * more->out_step, right += 2 * more->right_step)
        multiply_two_panels(out, row_stride, left, right, rows, inner, more);
    if (n)
        multiply_panel(out, row_stride, start, left, right, rows, inner);
}

#elif !IN_THUMB

void ttzo_multiply_tiles(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                         uint32_t rows, uint32_t inner, const struct ttzo_more_panels *more)
{
    multiply_panel(out, row_stride, start, left, right, rows, inner);
    for (uint32_t i = 1; more && i <= more->n; i++)
        multiply_panel(out + i * more->out_step, row_stride, NULL, left, right + i * more->right_step, rows, inner);
}

#endif

// ---- panels ---------------------------------------------------------------------------------------------------------

uint32_t ttzo_panel_numbers(uint32_t lines, uint32_t inner)
{
    return (lines + 3u) / 4u * 4u * inner;
}

void ttzo_pack_panels(float *panels, struct ttzo_operand matrix, uint32_t lines, uint32_t inner)
{
    uint32_t step = matrix.inner;
    for (uint32_t line = 0; line < lines; line += 4, matrix.at += 4 * matrix.outer) {
        uint32_t last = lines - line - 1;
        const float *a = matrix.at, *b = a + (last < 1 ? last : 1) * matrix.outer;
        const float *c = a + (last < 2 ? last : 2) * matrix.outer, *d = a + (last < 3 ? last : 3) * matrix.outer;
        uint32_t k = inner;
        if (step == 1) // two at a time
            for (; k >= 2; k -= 2, panels += 8) {
#if IN_REGISTERS
                uint32_t x, y, z, w;
                __asm volatile("ldrd %[x], %[y], [%[a]], #8\n ldrd %[z], %[w], [%[b]], #8\n"
                               "strd %[x], %[z], [%[out]]\n strd %[y], %[w], [%[out], #16]\n"
                               "ldrd %[x], %[y], [%[c]], #8\n ldrd %[z], %[w], [%[d]], #8\n"
                               "strd %[x], %[z], [%[out], #8]\n strd %[y], %[w], [%[out], #24]\n"
                               : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "=&r"(x), [y] "=&r"(y),
                                 [z] "=&r"(z), [w] "=&r"(w)
                               : [out] "r"(panels)
                               : "memory");
#else
                float a0 = a[0], b0 = b[0], c0 = c[0], d0 = d[0], a1 = a[1], b1 = b[1], c1 = c[1], d1 = d[1];
                panels[0] = a0, panels[1] = b0, panels[2] = c0, panels[3] = d0;
                panels[4] = a1, panels[5] = b1, panels[6] = c1, panels[7] = d1;
                a += 2, b += 2, c += 2, d += 2;
#endif
            }
        for (; k; k--, a += step, b += step, c += step, d += step, panels += 4)
            panels[0] = *a, panels[1] = *b, panels[2] = *c, panels[3] = *d;
    }
}

// A tile of which only some rows and columns exist.
static void edge_tile(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                      uint32_t rows, uint32_t inner, uint32_t columns)
{
    float whole[16];
    for (uint32_t i = 0; start && i < 16; i++)
        whole[i] = i / 4 < rows && i % 4 < columns ? start[i / 4 * row_stride + i % 4] : 0.0f;
    ttzo_multiply_tiles(whole, 4, start ? whole : NULL, left, right, 4, inner, NULL);
    const float *from = whole;
    for (; rows; rows--, out += row_stride, from += 4) {
        out[0] = from[0];
        if (columns > 1)
            out[1] = from[1];
        if (columns > 2)
            out[2] = from[2];
        if (columns > 3)
            out[3] = from[3];
    }
}

void ttzo_multiply_ragged(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                          uint32_t rows, uint32_t inner, uint32_t columns)
{
    uint32_t whole = columns == 4 ? rows & ~3u : 0;
    if (whole)
        ttzo_multiply_tiles(out, row_stride, start, left, right, whole, inner, NULL);
    for (uint32_t i = whole; i < rows; i += 4)
        edge_tile(out + i * row_stride, row_stride, start ? start + i * row_stride : NULL, left + i * inner, right,
                  rows - i < 4 ? rows - i : 4, inner, columns);
}
