// SPDX-License-Identifier: MIT
#include "network/moments.h"

#include "network/lanes.h"
#include "network/thumb_tile.h"

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

#if TTZO_FUSED
#define ADD_PRODUCT(sum, a, b) "vfma.f32 s" #sum ", s" #a ", s" #b "\n"
#define ADD_SQUARES ADD_PRODUCT(0, 24, 24) ADD_PRODUCT(1, 25, 25) ADD_PRODUCT(2, 26, 26) ADD_PRODUCT(3, 27, 27)
#define ADD_THIRDS ADD_PRODUCT(12, 28, 24) ADD_PRODUCT(13, 29, 25) ADD_PRODUCT(14, 30, 26) ADD_PRODUCT(15, 31, 27)
#else
#define ADD_SQUARES                                                                                                    \
    "vmul.f32 s28, s24, s24\n vmul.f32 s29, s25, s25\n vmul.f32 s30, s26, s26\n vmul.f32 s31, s27, s27\n" ADD(0, 1, 2, \
                                                                                                              3)
#define ADD_THIRDS TIMES_CHANGES ADD(12, 13, 14, 15)
#endif
#define ADD_ONE(sum, product) "vadd.f32 s" #sum ", s" #sum ", s" #product "\n"
#define ADD(a, b, c, d) ADD_ONE(a, 28) ADD_ONE(b, 29) ADD_ONE(c, 30) ADD_ONE(d, 31)
#define TIMES_CHANGES                                                                                                  \
    "vmul.f32 s28, s28, s24\n vmul.f32 s29, s29, s25\n vmul.f32 s30, s30, s26\n vmul.f32 s31, s31, s27\n"

void ttzo_moments_of(struct ttzo_moments *sums, const float *p, const struct ttzo_quad *changes, uint32_t n,
                     const struct ttzo_quad *own)
{
    static const struct ttzo_moments zeros;
    __asm volatile("vldmia %[zeros], {s0-s15}\n vldmia %[own], {s16-s19}\n"
                   "0: vldmia %[p]!, {s20}\n vldmia %[a]!, {s24-s27}\n"
                   "vsub.f32 s24, s24, s16\n vsub.f32 s25, s25, s17\n"
                   "vsub.f32 s26, s26, s18\n vsub.f32 s27, s27, s19\n" ADD_SQUARES
                   "vmul.f32 s28, s20, s24\n vmul.f32 s29, s20, s25\n"
                   "vmul.f32 s30, s20, s26\n vmul.f32 s31, s20, s27\n" ADD(4, 5, 6, 7) TIMES_CHANGES ADD(8, 9, 10, 11)
                       ADD_THIRDS "subs %[n], #1\n bne 0b\n vstmia %[sums], {s0-s15}\n"
                   : [p] "+r"(p), [a] "+r"(changes), [n] "+l"(n)
                   : [zeros] "r"(&zeros), [own] "r"(own), [sums] "r"(sums)
                   : TTZO_TILE_CLOBBERS);
}

#else

void ttzo_moments_of(struct ttzo_moments *sums, const float *p, const struct ttzo_quad *changes, uint32_t n,
                     const struct ttzo_quad *own)
{
    for (uint32_t q = 0; q < TTZO_QUERIES_AT_ONCE; q += TTZO_LANES) {
        ttzo_lanes zero = ttzo_lanes_of(0.0f), squares = zero, first = zero, second = zero, third = zero;
        ttzo_lanes of_own = ttzo_lanes_load(own->of + q);
        for (uint32_t j = 0; j < n; j++) {
            ttzo_lanes against = ttzo_lanes_load(changes[j].of + q) - of_own, moment = p[j] * against;
            squares = TTZO_MULADD(against, against, squares);
            first = first + moment;
            moment = moment * against;
            second = second + moment;
            third = TTZO_MULADD(moment, against, third);
        }
        ttzo_lanes_store(sums->squares.of + q, squares), ttzo_lanes_store(sums->first.of + q, first);
        ttzo_lanes_store(sums->second.of + q, second), ttzo_lanes_store(sums->third.of + q, third);
    }
}

#endif
