// SPDX-License-Identifier: MIT
// What a cross-entropy changes by where its changes are small, for four queries side by side.
#ifndef TTZO_MOMENTS_H
#define TTZO_MOMENTS_H
#include <stdbool.h>

#include "network/product.h"
#include "number/real.h"

// Below this sum of squared changes, three moments say as much as expm1 and log1p: what they leave out is less than
// 2^-18 / 24 of the largest change.
#ifndef TTZO_SMALL_SQUARES
#define TTZO_SMALL_SQUARES 0.000244140625f // 2^-12
#endif

// log1p of the sum over outputs of p expm1(a), from the sums of p a, p a a and p a a a.
static inline float ttzo_change_of_moments(float first, float second, float third)
{
    float s = TTZO_MULADD(third, 0.166666672f, TTZO_MULADD(second, 0.5f, first));
    float q = TTZO_MULADD(s, -0.25f, 0.333333343f);
    q = TTZO_MULADD(s, q, -0.5f);
    return TTZO_MULADD(s * s, q, s);
}

// That of each query of quads that begin `step` places apart, with a = changes[j] - own and one chain over the n places j,
// without place `left_out`, whose change is `own` (n: none is left out, and own is 0). Returns how many quads it was found
// for: it ends before the first one with a query whose squares may reach TTZO_SMALL_SQUARES.
uint32_t ttzo_small_changes(float (*differences)[TTZO_QUERIES_AT_ONCE], const float *p, const struct ttzo_quad *changes,
                            uint32_t step, uint32_t n_quads, uint32_t n, uint32_t left_out);

#endif
