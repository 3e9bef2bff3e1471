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

void ttzo_multiply_quads(float *out, const float *left, const float *right, uint32_t rows, uint32_t inner)
{
    uint32_t whole = (rows + 1) / 4, rest = rows & 3u, k; // a rest of three is a whole tile
    const float *b;
    if (whole)
        __asm volatile("0: mov %[b], %[right]\n mov %[k], %[inner]\n" CHAINS(
                           WHOLE) "vstmia %[out]!, {s0-s15}\n subs %[n], #1\n bne 0b\n"
                       : [out] "+r"(out), [a] "+r"(left), [b] "=&r"(b), [k] "=&r"(k), [n] "+r"(whole)
                       : [right] "r"(right), [inner] "r"(inner)
                       : TTZO_TILE_CLOBBERS);
    if (rest == 1 || rest == 2)
        __asm volatile(CHAINS(HALF) "vstmia %[out], {s0-s7}\n"
                       : [a] "+r"(left), [b] "+r"(right), [k] "+r"(inner)
                       : [out] "r"(out)
                       : TTZO_TILE_CLOBBERS);
}

#else

void ttzo_multiply_quads(float *out, const float *left, const float *right, uint32_t rows, uint32_t inner)
{
    ttzo_multiply_panels(out, 4, 0, left, right, (rows + 3u) & ~3u, inner, 4);
}

#endif
