// SPDX-License-Identifier: MIT
// Chains of products of compensated numbers in the FPU registers of a Cortex-M: two outputs, a and b, of one column or of
// two. s0 s1 and s2 s3 hold a's sums and rests, s4 s5 and s6 s7 those of b; s8 to s11 the sums after an odd number of
// products. s16-s19 hold head and tail of a's weight, then of b's, s24 s25 these weights whole; s20-s23 the features'
// two heads, then their tails. The rest is scratch.
#ifndef TTZO_COMPENSATED_TILE_H
#define TTZO_COMPENSATED_TILE_H
#include "network/lanes.h"

#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP)

#define TTZO_HAS_COMPENSATED_TILE 1

#define TTZO_DO(operation, to, x, y) operation ".f32 s" #to ", s" #x ", s" #y "\n"
#if TTZO_FUSED
#define TTZO_ADD_PRODUCT(sum, x, y, product) TTZO_DO("vfma", sum, x, y)
#else
#define TTZO_ADD_PRODUCT(sum, x, y, product) TTZO_DO("vmul", product, x, y) TTZO_DO("vadd", sum, product, sum)
#endif

// Two chains: of each the sum, where the new sum goes, the rest; the weight's head, tail and whole; the feature's head and
// tail. As ttzo_two_floats_muladd.
#define TTZO_GO_ON(s0, n0, r0, h0, t0, w0, x0, y0, s1, n1, r1, h1, t1, w1, x1, y1)                                     \
    TTZO_DO("vmul", 26, h0, x0)                                                                                        \
    TTZO_DO("vmul", 29, h1, x1)                                                                                        \
    TTZO_ADD_PRODUCT(r0, t0, x0, 27)                                                                                   \
    TTZO_ADD_PRODUCT(r1, t1, x1, 30)                                                                                   \
    TTZO_DO("vadd", n0, s0, 26)                                                                                        \
    TTZO_DO("vadd", n1, s1, 29)                                                                                        \
    TTZO_ADD_PRODUCT(r0, w0, y0, 28)                                                                                   \
    TTZO_ADD_PRODUCT(r1, w1, y1, 31)                                                                                   \
    TTZO_DO("vsub", 27, n0, s0)                                                                                        \
    TTZO_DO("vsub", 30, n1, s1)                                                                                        \
    TTZO_DO("vsub", 28, n0, 27)                                                                                        \
    TTZO_DO("vsub", 31, n1, 30)                                                                                        \
    TTZO_DO("vsub", 26, 26, 27)                                                                                        \
    TTZO_DO("vsub", 29, 29, 30)                                                                                        \
    TTZO_DO("vsub", 28, s0, 28)                                                                                        \
    TTZO_DO("vsub", 31, s1, 31)                                                                                        \
    TTZO_DO("vadd", 28, 28, 26)                                                                                        \
    TTZO_DO("vadd", 31, 31, 29)                                                                                        \
    TTZO_DO("vadd", r0, r0, 28)                                                                                        \
    TTZO_DO("vadd", r1, r1, 31)

// Their first products, into `n0` and `n1`.
#define TTZO_BEGIN_ONE(n, r, h, t, w, x, y)                                                                            \
    TTZO_DO("vmul", n, h, x)                                                                                           \
    TTZO_DO("vmul", r, t, x)                                                                                           \
    "vadd.f32 s" #n ", s" #n ", %[zero]\n" TTZO_ADD_PRODUCT(r, w, y, 28)
#define TTZO_BEGIN(s0, n0, r0, h0, t0, w0, x0, y0, s1, n1, r1, h1, t1, w1, x1, y1)                                     \
    TTZO_BEGIN_ONE(n0, r0, h0, t0, w0, x0, y0)                                                                         \
    TTZO_BEGIN_ONE(n1, r1, h1, t1, w1, x1, y1)

// Heads into s28 s29, tails into s30 s31. As ttzo_rounded.
#define TTZO_ROUND(s0, r0, s1, r1)                                                                                     \
    TTZO_DO("vadd", 26, s0, r0)                                                                                        \
    TTZO_DO("vadd", 27, s1, r1)                                                                                        \
    "vmov %[n], %[x], s26, s27\n" TTZO_DO("vsub", 30, s0, 26)                                                          \
        TTZO_DO("vsub", 31, s1, 27) "bfc %[n], #0, #12\n bfc %[x], #0, #12\n" TTZO_DO("vadd", 30, 30, r0)              \
            TTZO_DO("vadd", 31, 31, r1) "vmov s28, s29, %[n], %[x]\n" TTZO_DO("vsub", 26, 26, 28)                      \
                TTZO_DO("vsub", 27, 27, 29) TTZO_DO("vadd", 30, 26, 30) TTZO_DO("vadd", 31, 27, 31)

#define TTZO_FACTORS                                                                                                   \
    "vldmia %[w], {s16-s19}\n add %[w], %[w_step]\n vldmia %[x], {s20-s23}\n add %[x], %[x_step]\n" TTZO_DO(           \
        "vadd", 24, 16, 17) TTZO_DO("vadd", 25, 18, 19)

// Of two columns or one: OF(which, ..) applies `which` to the chains; FORTH from s0 s1 s4 s5 to s8-s11, BACK the other way.
#define TTZO_FORTH_2(which)                                                                                            \
    which(0, 8, 2, 16, 17, 24, 20, 22, 1, 9, 3, 16, 17, 24, 21, 23)                                                    \
        which(4, 10, 6, 18, 19, 25, 20, 22, 5, 11, 7, 18, 19, 25, 21, 23)
#define TTZO_BACK_2(which)                                                                                             \
    which(8, 0, 2, 16, 17, 24, 20, 22, 9, 1, 3, 16, 17, 24, 21, 23)                                                    \
        which(10, 4, 6, 18, 19, 25, 20, 22, 11, 5, 7, 18, 19, 25, 21, 23)
#define TTZO_FORTH_1(which) which(0, 8, 2, 16, 17, 24, 20, 22, 4, 10, 6, 18, 19, 25, 20, 22)
#define TTZO_BACK_1(which) which(8, 0, 2, 16, 17, 24, 20, 22, 10, 4, 6, 18, 19, 25, 20, 22)
#define TTZO_KEEP_2 TTZO_ROUND(0, 2, 1, 3) "vstmia %[a], {s28-s31}\n" TTZO_ROUND(4, 6, 5, 7) "vstmia %[b], {s28-s31}\n"
#define TTZO_KEEP_1                                                                                                    \
    TTZO_ROUND(0, 2, 4, 6)                                                                                             \
    "vstr s28, [%[a]]\n vstr s30, [%[a], #8]\n vstr s29, [%[b]]\n vstr s31, [%[b], #8]\n"

#define TTZO_COMPENSATED_CHAINS(forth, back, keep)                                                                     \
    __asm volatile(                                                                                                    \
        "lsrs %[n], %[n], #1\n bcs 1f\n" TTZO_FACTORS forth(TTZO_BEGIN)                                                \
            TTZO_FACTORS back(TTZO_GO_ON) "subs %[n], #1\n beq 3f\n b 2f\n"                                            \
                                          "1: " TTZO_FACTORS back(                                                     \
                                              TTZO_BEGIN) "cmp %[n], #0\n beq 3f\n"                                    \
                                                          "2: " TTZO_FACTORS forth(TTZO_GO_ON)                         \
                                                              TTZO_FACTORS back(TTZO_GO_ON) "subs %[n], #1\n bne 2b\n" \
                                                                                            "3: " keep                 \
        : [w] "+r"(weights), [x] "+r"(features), [n] "+r"(n)                                                           \
        : [w_step] "r"(4 * weight_step), [x_step] "r"(4 * feature_step), [a] "r"(a), [b] "r"(b), [zero] "t"(0.0f)      \
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s16", "s17",      \
          "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31")

// Outputs a and b [4] = sums of n products, rounded: weights [n][4], features [n][4], at these steps in numbers. Without
// `both_columns` the first column of a and b alone is written.
static inline void ttzo_compensated_tile(const float *weights, uint32_t weight_step, const float *features,
                                         uint32_t feature_step, uint32_t n, float *a, float *b, bool both_columns)
{
    if (both_columns)
        TTZO_COMPENSATED_CHAINS(TTZO_FORTH_2, TTZO_BACK_2, TTZO_KEEP_2);
    else
        TTZO_COMPENSATED_CHAINS(TTZO_FORTH_1, TTZO_BACK_1, TTZO_KEEP_1);
}

#else

#define TTZO_HAS_COMPENSATED_TILE 0

#endif
#endif
