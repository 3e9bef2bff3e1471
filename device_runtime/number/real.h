// SPDX-License-Identifier: MIT
// Elementary functions in float32 that give the same bits on every target: only + - * / and integer operations, no
// libm, no table. Host twin: host_tools/reference/number/real.py. Subnormal numbers must be on (no flush to zero).
//
// Every NaN that comes out is the quiet 0x7FC00000. The errors below, in units of the last place (ulp), are the largest
// over every 61st float32 in either arithmetic; tests/number/test_real.py holds the functions to them.
#ifndef TTZO_REAL_H
#define TTZO_REAL_H
#include <stdbool.h>

#include "contract/exact.h"

// Arithmetic of the build: a * b + c with the product rounded first (0), or rounded once (1).
#ifndef TTZO_FUSED
#define TTZO_FUSED 0
#endif
#if TTZO_FUSED
#define TTZO_MULADD(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define TTZO_MULADD(a, b, c) ((a) * (b) + (c))
#endif

// An integer of a number's bits.
#ifndef TTZO_SIZE_BITS
#define TTZO_SIZE_BITS uint32_t
#endif

// False for NaN and infinities.
bool ttzo_is_finite(float x);

// True for -0.0 alone.
bool ttzo_is_negative_zero(float x);

float ttzo_exp(float x);   // 1.02 ulp
float ttzo_expm1(float x); // 1.19 ulp
float ttzo_log(float x);   // 0.89 ulp; NaN below 0, -inf at 0
float ttzo_log1p(float x); // 0.88 ulp; NaN below -1, -inf at -1
float ttzo_tanh(float x);  // 1.42 ulp; odd, bit for bit
float ttzo_sqrt(float x);  // correctly rounded

// Where ttzo_tanh(x) is x itself: for these bits of x and smaller ones, the sign left out.
#ifndef TTZO_TANH_IS_ITSELF
#define TTZO_TANH_IS_ITSELF 0x397FFFFFu // below 2^-12
#endif

float ttzo_sigmoid(float x); // 1 / (1 + e^-x): 2.46 ulp from -87 on
float ttzo_erf(float x);     // 2.28 ulp; odd, bit for bit
float ttzo_gelu(float x);    // x (1 + erf(x / sqrt 2)) / 2: within 2^-22 of itself, or of 1/2 where it is smaller

// 1.55 ulp for |x| <= 100, 2.35 ulp (1e-7) to 10^4, 1e-6 to 10^5; NaN beyond, where a float32 angle says little.
float ttzo_sin(float x); // odd, bit for bit
float ttzo_cos(float x); // even, bit for bit

float ttzo_atan(float x);           // 2.04 ulp; odd, bit for bit
float ttzo_atan2(float y, float x); // the angle of (x, y), -pi to pi: 2.22 ulp where y / x is no subnormal number

// sin and cos of 2 pi `turns`, 0 <= turns < 1, within 2^-23.
void ttzo_sin_cos_turns(float turns, float *sine, float *cosine);

#endif
