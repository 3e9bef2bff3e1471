// SPDX-License-Identifier: MIT
#include "network/quad_product.h"

#include "network/panels.h"
#include "network/thumb_tile.h"
#include "network/tile.h"

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

// As TTZO_STEP: outputs = four numbers times four numbers; HALF of a step has the first two rows alone.
#define BEGIN_ROW(c0, c1, c2, c3, a)                                                                                   \
    "vmul.f32 s" #c0 ", s" #a ", s20\n vmul.f32 s" #c1 ", s" #a ", s21\n vmul.f32 s" #c2 ", s" #a                      \
    ", s22\n vmul.f32 s" #c3 ", s" #a ", s23\n"
#define ADD_ROW(c0, c1, c2, c3, a) TTZO_ROW(c0, c1, c2, c3, a, 20, 21, 22, 23)
#define HALF(row) row(0, 1, 2, 3, 16) row(4, 5, 6, 7, 17)
#define WHOLE(row) HALF(row) row(8, 9, 10, 11, 18) row(12, 13, 14, 15, 19)
#define LOADS "vldmia %[a]!, {s16-s19}\n vldmia %[b]!, {s20-s23}\n"
#define CHAINS(rows)                                                                                                   \
    LOADS rows(BEGIN_ROW) "subs %[k], #1\n beq 2f\n 1:" LOADS rows(ADD_ROW) "subs %[k], #1\n bne 1b\n 2:"

// The listed moves, one after the other.
static inline void gather(float *changes, const float *moves, const uint16_t *numbers, uint32_t n)
{
    uint32_t at;
    __asm volatile("1: ldrh %[at], [%[numbers]], #2\n add %[at], %[moves], %[at], lsl #4\n vldmia %[at], {s0-s3}\n"
                   "vstmia %[out]!, {s0-s3}\n subs %[n], #1\n bne 1b\n"
                   : [at] "=&r"(at), [numbers] "+r"(numbers), [out] "+r"(changes), [n] "+r"(n)
                   : [moves] "r"(moves)
                   : "s0", "s1", "s2", "s3", "cc", "memory");
}

void ttzo_multiply_quads(float *out, uint32_t out_step, const float *panels, const float *moves, uint32_t moves_step,
                         const uint16_t *numbers, float *changes, uint32_t rows, uint32_t inner, uint32_t n_quads)
{
    const uint32_t all_whole = (rows + 1) / 4, rest = rows & 3u; // a rest of three is a whole tile
    for (; n_quads; n_quads--, out += out_step, moves += moves_step) {
        const float *left = panels, *b = changes;
        uint32_t whole = all_whole, k = inner;
        float *to = out;
        if (numbers)
            gather(changes, moves, numbers, inner);
        if (whole)
            __asm volatile("0: mov %[b], %[right]\n mov %[k], %[inner]\n" CHAINS(
                               WHOLE) "vstmia %[out]!, {s0-s15}\n subs %[n], #1\n bne 0b\n"
                           : [out] "+r"(to), [a] "+r"(left), [b] "=&r"(b), [k] "=&r"(k), [n] "+r"(whole)
                           : [right] "r"(changes), [inner] "r"(inner)
                           : TTZO_TILE_CLOBBERS);
        if (rest == 1 || rest == 2)
            __asm volatile("mov %[b], %[right]\n mov %[k], %[inner]\n" CHAINS(HALF) "vstmia %[out], {s0-s7}\n"
                           : [a] "+r"(left), [b] "=&r"(b), [k] "=&r"(k)
                           : [out] "r"(to), [right] "r"(changes), [inner] "r"(inner)
                           : TTZO_TILE_CLOBBERS);
    }
}

#else

void ttzo_multiply_quads(float *out, uint32_t out_step, const float *panels, const float *moves, uint32_t moves_step,
                         const uint16_t *numbers, float *changes, uint32_t rows, uint32_t inner, uint32_t n_quads)
{
    for (; n_quads; n_quads--, out += out_step, moves += moves_step) {
        for (uint32_t k = 0; numbers && k < inner; k++)
            ((struct ttzo_quad *)changes)[k] = ((const struct ttzo_quad *)moves)[numbers[k]];
        ttzo_multiply_panels(out, TTZO_QUERIES_AT_ONCE, 0, panels, changes, (rows + 3u) & ~3u, inner,
                             TTZO_QUERIES_AT_ONCE);
    }
}

#endif
