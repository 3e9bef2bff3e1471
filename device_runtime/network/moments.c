// SPDX-License-Identifier: MIT
#include "network/moments.h"

#include "network/lanes.h"
#include "network/thumb_tile.h"

// Squares are only compared with a limit that leaves room for their rounding, so that they are fused in both arithmetics
// where the core can; without optimisation registers are short. What is left to TTZO_SMALL_SQUARES, a sixteenth of it, is
// more than the sums on either side are rounded by.
#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FEATURE_FMA) && defined(__OPTIMIZE__)

// s0-s11 hold first, second and third moments, s12 the squares of all queries, s13-s16 their own changes, s17 and s18
// p of two places, s19-s26 the changes there, s27-s30 what is added.
#if TTZO_FUSED
#define ADD_PRODUCT(sum, a, b, product) "vfma.f32 s" #sum ", s" #a ", s" #b "\n"
#else
#define ADD_PRODUCT(sum, a, b, product)                                                                                \
    "vmul.f32 s" #product ", s" #a ", s" #b "\n vadd.f32 s" #sum ", s" #sum ", s" #product "\n"
#endif
#define AGAINST(a, own) "vsub.f32 s" #a ", s" #a ", s" #own "\n vfma.f32 s12, s" #a ", s" #a "\n"
#define MOMENTS(p, a, m, first, second, third)                                                                         \
    "vmul.f32 s" #m ", s" #p ", s" #a "\n vadd.f32 s" #first ", s" #first ", s" #m "\n vmul.f32 s" #m ", s" #m         \
    ", s" #a "\n vadd.f32 s" #second ", s" #second ", s" #m "\n" ADD_PRODUCT(third, m, a, m)
#define PLACE(p, a, b, c, d)                                                                                           \
    AGAINST(a, 13)                                                                                                     \
    AGAINST(b, 14)                                                                                                     \
    AGAINST(c, 15)                                                                                                     \
    AGAINST(d, 16)                                                                                                     \
    MOMENTS(p, a, 27, 0, 4, 8) MOMENTS(p, b, 28, 1, 5, 9) MOMENTS(p, c, 29, 2, 6, 10) MOMENTS(p, d, 30, 3, 7, 11)

// ttzo_change_of_moments with the `constants` in s12-s16, in place of the first moments.
#if TTZO_FUSED
#define CHANGE(first, second, third)                                                                                   \
    "vfma.f32 s" #first ", s" #second ", s13\n vfma.f32 s" #first ", s" #third ", s12\n vmov.f32 s" #second            \
    ", s15\n vfma.f32 s" #second ", s" #first ", s14\n vmov.f32 s" #third ", s16\n vfma.f32 s" #third ", s" #first     \
    ", s" #second "\n vmul.f32 s" #second ", s" #first ", s" #first "\n vfma.f32 s" #first ", s" #second ", s" #third  \
    "\n"
#else
#define CHANGE(first, second, third)                                                                                   \
    "vmul.f32 s" #second ", s" #second ", s13\n vadd.f32 s" #first ", s" #first ", s" #second "\n vmul.f32 s" #third   \
    ", s" #third ", s12\n vadd.f32 s" #first ", s" #first ", s" #third "\n vmul.f32 s" #second ", s" #first            \
    ", s14\n vadd.f32 s" #second ", s" #second ", s15\n vmul.f32 s" #second ", s" #second ", s" #first                 \
    "\n vadd.f32 s" #second ", s" #second ", s16\n vmul.f32 s" #third ", s" #first ", s" #first "\n vmul.f32 s" #third \
    ", s" #third ", s" #second "\n vadd.f32 s" #first ", s" #first ", s" #third "\n"
#endif

uint32_t ttzo_small_changes(float (*differences)[TTZO_QUERIES_AT_ONCE], const float *p, const struct ttzo_quad *changes,
                            uint32_t step, uint32_t n_quads, uint32_t n, uint32_t left_out)
{
    static const float constants[19] = { // zeros first
                                         [13] = 0.166666672f, 0.5f,  -0.25f,
                                         0.333333343f,        -0.5f, TTZO_SMALL_SQUARES * 0.9375f
    };
    const struct {
        uint32_t n, rest; // places before and after the one left out
        const float *p;
    } parts = { left_out < n ? left_out : n, left_out < n ? n - left_out - 1 : 0, p };
    const float *own = left_out < n ? changes[left_out].of : constants, *table = constants, *slope;
    uint32_t rest, left = n_quads;
    __asm volatile(
        "0: vldmia %[table]!, {s0-s12}\n vldmia %[own], {s13-s16}\n add %[own], %[own_step]\n"
        "ldrd %[n], %[rest], [%[parts]]\n ldr %[slope], [%[parts], #8]\n"
        "1: lsrs %[n], %[n], #1\n bcc 2f\n vldmia %[slope]!, {s17}\n vldmia %[a]!, {s19-s22}\n" // bcc: even
        PLACE(17, 19, 20, 21,
              22) "2: beq 4f\n"
                  "3: vldmia %[slope]!, {s17-s18}\n vldmia %[a]!, {s19-s26}\n subs %[n], #1\n" PLACE(17, 19, 20, 21, 22)
                      PLACE(18, 23, 24, 25,
                            26) "bne 3b\n"
                                "4: movs %[n], %[rest]\n beq 5f\n movs %[rest], #0\n"
                                "adds %[slope], #4\n adds %[a], #16\n b 1b\n" // past the one left out
                                "5: vmov %[n], s12\n vldmia %[table], {s12-s16}\n ldr %[rest], [%[table], #20]\n"
                                "sub %[table], #52\n cmp %[n], %[rest]\n bhi 6f\n" // the bits of sizes grow with them
        CHANGE(0, 4, 8) CHANGE(1, 5, 9) CHANGE(2, 6, 10)
            CHANGE(3, 7, 11) "vstmia %[out]!, {s0-s3}\n add %[a], %[gap]\n subs %[left], #1\n bne 0b\n"
                             "6:\n"
        : [out] "+r"(differences), [table] "+r"(table), [own] "+r"(own), [slope] "=&l"(slope), [a] "+l"(changes),
          [n] "=&l"(n), [rest] "=&l"(rest), [left] "+r"(left)
        : [own_step] "r"(left_out < n ? step * sizeof(*changes) : 0), [parts] "r"(&parts),
          [gap] "r"((step - parts.n - parts.rest - (parts.rest != 0)) * sizeof(*changes))
        : TTZO_TILE_CLOBBERS);
    return n_quads - left;
}

#else

uint32_t ttzo_small_changes(float (*differences)[TTZO_QUERIES_AT_ONCE], const float *p, const struct ttzo_quad *changes,
                            uint32_t step, uint32_t n_quads, uint32_t n, uint32_t left_out)
{
    const ttzo_lanes zero = ttzo_lanes_of(0.0f), limit = ttzo_lanes_of(TTZO_SMALL_SQUARES);
    for (uint32_t quad = 0; quad < n_quads; quad++, changes += step)
        for (uint32_t q = 0; q < TTZO_QUERIES_AT_ONCE; q += TTZO_LANES) {
            ttzo_lanes squares = zero, first = zero, second = zero, third = zero, own = zero;
            if (left_out < n)
                own = ttzo_lanes_load(changes[left_out].of + q);
            for (uint32_t j = 0; j < n; j++) {
                if (j == left_out)
                    continue;
                ttzo_lanes against = ttzo_lanes_load(changes[j].of + q) - own, moment = p[j] * against;
                squares = TTZO_MULADD(against, against, squares);
                first = first + moment;
                moment = moment * against;
                second = second + moment;
                third = TTZO_MULADD(moment, against, third);
            }
            if (ttzo_lanes_any(~ttzo_lanes_above(limit, squares)))
                return quad;
            for (uint32_t i = 0; i < TTZO_LANES; i++)
                differences[quad][q + i] = ttzo_change_of_moments(
                    ((const float *)&first)[i], ((const float *)&second)[i], ((const float *)&third)[i]);
        }
    return n_quads;
}

#endif
