// SPDX-License-Identifier: MIT
#include "number/self_test.h"

#include <stdbool.h>

#include "number/real.h"

// Numbers come from volatile objects, so that the processor computes and not the compiler. Without `volatile` between
// two operations the compiler may contract them, or keep more digits of the first than a float has.
uint32_t ttzo_self_test(void)
{
    volatile float one = 1.0f, half_ulp = 0x1p-24f, above_half = 0x1.8p-24f, smallest = 0x1p-126f;
    volatile float root = 1.0f + 0x1p-12f, less_square = -(1.0f + 0x1p-11f), tiny = 0x1p-60f;
    volatile float tie = one + half_ulp, up = one + above_half, down = -one - half_ulp;
    if (tie != 1.0f || up != 1.0f + 0x1p-23f || down != -1.0f)
        return TTZO_INEXACTNESS_ROUNDING;
    volatile float subnormal = smallest * 0.5f;
    if (subnormal == 0.0f || subnormal + subnormal != smallest)
        return TTZO_INEXACTNESS_FLUSH;
    float x = root, c = less_square, u = half_ulp, a = one;
    volatile float kept = (a + u) - a;
    if (kept != 0.0f)
        return TTZO_INEXACTNESS_PRECISION;
    volatile float contracted = x * x + c; // 2^-24 where the product was not rounded
    if (contracted != 0.0f)
        return TTZO_INEXACTNESS_CONTRACTION;
    float y = root, t = tiny; // tips a product that lies half-way between two floats; a sum in double loses it
    volatile float fused = TTZO_MULADD(y, y, t);
    bool rounded_once = fused == 1.0f + 0x1p-11f + 0x1p-23f;
    return rounded_once != (TTZO_FUSED != 0) ? TTZO_INEXACTNESS_FUSED : 0u;
}
