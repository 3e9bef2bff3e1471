// SPDX-License-Identifier: MIT
// Polynomial coefficients and split constants are printed by tests/vectors/fit_real.py.
#include "number/real.h"

#include <stdint.h>

union bits {
    float value;
    uint32_t bits;
};

static const uint32_t SIGN = 0x80000000u;
static const uint32_t INFINITE = 0x7F800000u;

// Adding it rounds |v| < 2^22 to the nearest integer, ties to even, and leaves that integer in the low bits.
static const float ROUND = 12582912.0f;
static const uint32_t ROUND_BITS = 0x4B400000u;

// ln 2 in two parts; the first has 15 bits, so that its product with any exponent is exact.
static const float LN2_HIGH = 0.693145752f;
static const float LN2_LOW = 1.42860677e-06f;

static inline uint32_t to_bits(float value)
{
    union bits both = { value };
    return both.bits;
}

static inline float from_bits(uint32_t bits)
{
    union bits both;
    both.bits = bits;
    return both.value;
}

static inline float not_a_number(void)
{
    return from_bits(0x7FC00000u);
}

bool ttzo_is_finite(float x)
{
    return x - x == 0.0f;
}

bool ttzo_is_negative_zero(float x)
{
    return to_bits(x) == SIGN;
}

// ---- exponentials ---------------------------------------------------------------------------------------------------

// x = k ln 2 + r + low, |r| <= ln 2 / 2, for |x| < 128; `low` is what rounding took from r.
static inline float reduce_by_ln2(float x, uint32_t *k, float *low)
{
    float rounded = TTZO_MULADD(x, 1.44269502f, ROUND);
    float multiple = rounded - ROUND;
    float high = TTZO_MULADD(multiple, -LN2_HIGH, x); // exact
    float r = TTZO_MULADD(multiple, -LN2_LOW, high);
    *low = TTZO_MULADD(multiple, -LN2_LOW, high - r);
    *k = to_bits(rounded) - ROUND_BITS;
    return r;
}

// (exp(r) - 1 - r) / r^2
static inline float expm1_polynomial(float r)
{
    float q = TTZO_MULADD(0.00138706563f, r, 0.00836626161f);
    q = TTZO_MULADD(q, r, 0.0416674353f);
    q = TTZO_MULADD(q, r, 0.166665465f);
    return TTZO_MULADD(q, r, 0.49999997f);
}

float ttzo_exp(float x)
{
    if ((to_bits(x) & ~SIGN) > INFINITE)
        return not_a_number();
    if (x > 89.0f) // overflows all the same
        x = 89.0f;
    if (x < -104.0f) // below half of the smallest subnormal
        x = -104.0f;
    uint32_t k;
    float low;
    float r = reduce_by_ln2(x, &k, &low);
    float y = 1.0f + TTZO_MULADD(r * r, expm1_polynomial(r), r);
    uint32_t exponent = k + 254u; // of both factors together: 2^k itself need not be a normal number
    uint32_t half = exponent >> 1;
    return y * from_bits(half << 23) * from_bits((exponent - half) << 23);
}

float ttzo_expm1(float x)
{
    uint32_t size = to_bits(x) & ~SIGN;
    if (size > INFINITE)
        return not_a_number();
    if (size < 0x33000000u) // 2^-25
        return x;
    if (x > 89.0f)
        x = 89.0f;
    if (x < -18.0f) // -1 from here on
        x = -18.0f;
    uint32_t k;
    float low;
    float r = reduce_by_ln2(x, &k, &low);
    // Half the result: 2^(k-1) (exp(r) - 1) + (2^(k-1) - 1/2), the large terms summed with their rounding error.
    float scale = from_bits((k + 126u) << 23);
    float offset = scale - 0.5f;
    float sum = TTZO_MULADD(scale, r, offset);
    float lost = TTZO_MULADD(scale, r, offset - sum);
    float tail = TTZO_MULADD(r * r, expm1_polynomial(r), low);
    return 2.0f * (sum + TTZO_MULADD(scale, tail, lost));
}

float ttzo_tanh(float x)
{
    uint32_t sign = to_bits(x) & SIGN;
    uint32_t size = to_bits(x) & ~SIGN;
    if (size > INFINITE)
        return not_a_number();
    if (size <= TTZO_TANH_IS_ITSELF)
        return x;
    if (size < 0x3F100000u) { // 0.5625
        float z = x * x;
        float q = TTZO_MULADD(-0.00616961345f, z, 0.021000376f);
        q = TTZO_MULADD(q, z, -0.0538357571f);
        q = TTZO_MULADD(q, z, 0.13332437f);
        q = TTZO_MULADD(q, z, -0.333333135f);
        return TTZO_MULADD(x * z, q, x);
    }
    float a = from_bits(size);
    if (a > 10.0f) // 1 from here on
        a = 10.0f;
    uint32_t k;
    float low;
    float r = reduce_by_ln2(2.0f * a, &k, &low);
    float y = 1.0f + TTZO_MULADD(r * r, expm1_polynomial(r), r);
    float denominator = TTZO_MULADD(y, from_bits((k + 127u) << 23), 1.0f); // exp(2 |x|) + 1
    return from_bits(to_bits(1.0f - 2.0f / denominator) | sign);
}

float ttzo_sigmoid(float x)
{
    return 1.0f / (1.0f + ttzo_exp(-x));
}

// erf(x) / x for z = x^2 <= 0.875^2
static inline float erf_polynomial(float z)
{
    float q = TTZO_MULADD(-0.000517816399f, z, 0.00483683776f);
    q = TTZO_MULADD(q, z, -0.0266612954f);
    q = TTZO_MULADD(q, z, 0.112789191f);
    q = TTZO_MULADD(q, z, -0.376122147f);
    return TTZO_MULADD(q, z, 1.12837911f);
}

// 1 - erf(a), absolutely accurate, for 0.875 <= a <= 4. Beyond 4 it is less than half a unit of 1.
static inline float erf_complement(float a)
{
    float t = a - 2.0f;
    float q = TTZO_MULADD(3.10531073e-06f, t, -4.98572626e-06f);
    q = TTZO_MULADD(q, t, 0.000164085577f);
    q = TTZO_MULADD(q, t, -0.0007229232f);
    q = TTZO_MULADD(q, t, 0.00355457165f);
    q = TTZO_MULADD(q, t, -0.0164785236f);
    q = TTZO_MULADD(q, t, -0.923752546f);
    q = TTZO_MULADD(q, t, -4.41815996f);
    return ttzo_exp(TTZO_MULADD(q, t, -5.36494112f));
}

static const uint32_t ERF_EDGE = 0x3F600000u; // 0.875
static const uint32_t ERF_END = 0x40800000u;  // 4

float ttzo_erf(float x)
{
    uint32_t size = to_bits(x) & ~SIGN;
    if (size > INFINITE)
        return not_a_number();
    if (size < ERF_EDGE)
        return x * erf_polynomial(x * x);
    if (size > ERF_END)
        return x > 0.0f ? 1.0f : -1.0f;
    return from_bits(to_bits(1.0f - erf_complement(from_bits(size))) | (to_bits(x) & SIGN));
}

float ttzo_gelu(float x)
{
    float a = x * 0.707106769f, half = 0.5f * x;
    uint32_t size = to_bits(a) & ~SIGN;
    if (size > INFINITE)
        return not_a_number();
    if (size < ERF_EDGE)
        return TTZO_MULADD(half, a * erf_polynomial(a * a), half);
    if (size > ERF_END)
        return x > 0.0f ? x : -0.0f;
    float rest = half * erf_complement(from_bits(size)); // on the negative side nothing cancels
    return x > 0.0f ? x - rest : rest;
}

// ---- logarithms -----------------------------------------------------------------------------------------------------

// x = 2^k m with sqrt(1/2) <= m < sqrt(2), for positive normal x: returns k, leaves m.
static inline float split_exponent(uint32_t x_bits, float *m)
{
    uint32_t biased = (x_bits + (0x3F800000u - 0x3F3504F3u)) >> 23;
    *m = from_bits(x_bits - (biased << 23) + 0x3F800000u);
    return (float)((int32_t)biased - 127);
}

// k ln 2 + log(1 + f) + correction. With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s (f - z q(z)), z = s^2.
static inline float log_sum(float k, float f, float correction)
{
    float s = f / (2.0f + f);
    float z = s * s;
    float q = TTZO_MULADD(0.298710734f, z, 0.399775773f);
    q = TTZO_MULADD(q, z, 0.666667759f);
    float tail = TTZO_MULADD(k, LN2_LOW, correction);
    tail = TTZO_MULADD(-s, TTZO_MULADD(-z, q, f), tail);
    return TTZO_MULADD(k, LN2_HIGH, f + tail);
}

float ttzo_log(float x)
{
    uint32_t bits = to_bits(x);
    if (bits - 1u >= INFINITE - 1u) { // 0, infinite, NaN or negative
        if ((bits & ~SIGN) == 0)
            return from_bits(SIGN | INFINITE);
        return bits == INFINITE ? x : not_a_number();
    }
    float subnormal = 0.0f;
    if (bits < 0x00800000u) {
        bits = to_bits(x * 16777216.0f);
        subnormal = 24.0f;
    }
    float m;
    float k = split_exponent(bits, &m);
    return log_sum(k - subnormal, m - 1.0f, 0.0f);
}

float ttzo_log1p(float x)
{
    uint32_t bits = to_bits(x);
    if ((bits & ~SIGN) < 0x33000000u) // 2^-25
        return x;
    if (x == -1.0f)
        return from_bits(SIGN | INFINITE);
    if (bits > 0xBF800000u || (bits & ~SIGN) > INFINITE) // below -1, or NaN
        return not_a_number();
    if (bits == INFINITE)
        return x;
    float u = 1.0f + x;
    float m;
    float k = split_exponent(to_bits(u), &m);
    if (k == 0.0f)
        return log_sum(0.0f, x, 0.0f);
    float lost = x >= 1.0f ? 1.0f - (u - x) : x - (u - 1.0f); // of 1 + x
    return log_sum(k, m - 1.0f, lost / u);
}

// ---- square root ----------------------------------------------------------------------------------------------------

// The processor's own instruction, which rounds correctly; sqrtf could become a call of libm.
#if defined(__aarch64__)
#define SQUARE_ROOT(y, x) __asm__("fsqrt %s0, %s1" : "=w"(y) : "w"(x))
#elif defined(__ARM_FP) && (__ARM_FP & 4)
#define SQUARE_ROOT(y, x) __asm__("vsqrt.f32 %0, %1" : "=t"(y) : "t"(x))
#elif defined(__SSE2__)
#define SQUARE_ROOT(y, x) __asm__("sqrtss %1, %0" : "=x"(y) : "x"(x))
#elif defined(__riscv_flen)
#define SQUARE_ROOT(y, x) __asm__("fsqrt.s %0, %1" : "=f"(y) : "f"(x))
#endif

#ifdef SQUARE_ROOT
float ttzo_sqrt(float x)
{
    if ((to_bits(x) & ~SIGN) > INFINITE || x < 0.0f)
        return not_a_number();
    float y;
    SQUARE_ROOT(y, x);
    return y;
}
#else
// The root's 24 bits and one for rounding, a bit a turn. It never lies halfway: a root of 25 significant bits has a
// square of 49, and there are only 24.
float ttzo_sqrt(float x)
{
    uint32_t bits = to_bits(x);
    if ((bits & ~SIGN) == 0 || bits == INFINITE)
        return x;
    if (bits > INFINITE)
        return not_a_number();
    uint32_t shift = 0;
    if (bits < 0x00800000u) {
        bits = to_bits(x * 16777216.0f);
        shift = 12;
    }
    uint32_t biased = bits >> 23;
    uint32_t square = ((bits & 0x007FFFFFu) | 0x00800000u) << (7u + (biased & 1u ? 0u : 1u)); // [1, 4), 2^30 is 1
    uint32_t root = 0;
    uint32_t rest = 0;
    for (int i = 0; i < 25; i++) {
        rest = rest << 2 | square >> 30;
        square <<= 2;
        uint32_t trial = root << 2 | 1u;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1u;
        }
    }
    uint32_t exponent = ((biased + 1u) >> 1) + 63u - shift; // 1 <= root < 2 in units of 2^24
    return from_bits((exponent << 23) + ((root + 1u) >> 1) - 0x00800000u);
}
#endif

// ---- circular functions ---------------------------------------------------------------------------------------------

// sin(r), |r| <= pi/4
static inline float sine_polynomial(float r, float z)
{
    float q = TTZO_MULADD(-0.000195180997f, z, 0.00833218824f);
    q = TTZO_MULADD(q, z, -0.166666552f);
    return TTZO_MULADD(r * z, q, r);
}

// cos(r), |r| <= pi/4
static inline float cosine_polynomial(float z)
{
    float q = TTZO_MULADD(2.44325529e-05f, z, -0.00138873106f);
    q = TTZO_MULADD(q, z, 0.0416666456f);
    return TTZO_MULADD(z * z, q, TTZO_MULADD(z, -0.5f, 1.0f));
}

// sin(x + quarters pi/2). x minus the nearest multiple of pi/2, taken as a sum of four parts: the first three have
// 11 bits or less, so that their products are exact up to 10^4 (the second and third not quite beyond).
static inline float sine_of(float x, uint32_t quarters)
{
    float rounded = TTZO_MULADD(x, 0.636619747f, ROUND);
    float multiple = rounded - ROUND;
    float r = TTZO_MULADD(multiple, -1.5703125f, x);
    r = TTZO_MULADD(multiple, -0.000483751297f, r);
    r = TTZO_MULADD(multiple, -7.54953362e-08f, r);
    r = TTZO_MULADD(multiple, -2.56334407e-12f, r);
    quarters += to_bits(rounded) - ROUND_BITS;
    float z = r * r;
    float y = quarters & 1u ? cosine_polynomial(z) : sine_polynomial(r, z);
    return from_bits(to_bits(y) ^ (quarters & 2u) << 30);
}

static const uint32_t LARGEST_ANGLE = 0x47C35000u; // 10^5

float ttzo_sin(float x)
{
    uint32_t size = to_bits(x) & ~SIGN;
    if (size > LARGEST_ANGLE)
        return not_a_number();
    if (size < 0x39800000u) // 2^-12
        return x;
    return sine_of(x, 0);
}

float ttzo_cos(float x)
{
    uint32_t size = to_bits(x) & ~SIGN;
    if (size > LARGEST_ANGLE)
        return not_a_number();
    return sine_of(x, 1);
}

// ---- inverse tangent ------------------------------------------------------------------------------------------------

// pi / 2 and pi / 4 in two parts
static const float HALF_PI = 1.57079637f, HALF_PI_LOW = -4.37113883e-08f;
static const float QUARTER_PI = 0.785398185f, QUARTER_PI_LOW = -2.18556941e-08f;

float ttzo_atan(float x)
{
    uint32_t size = to_bits(x) & ~SIGN;
    if (size > INFINITE)
        return not_a_number();
    if (size < 0x39800000u) // 2^-12
        return x;
    float r = from_bits(size), high = 0.0f, low = 0.0f;
    if (r > 2.41421366f) { // 1 + sqrt 2
        r = -1.0f / r;
        high = HALF_PI;
        low = HALF_PI_LOW;
    } else if (r > 0.414213568f) { // sqrt 2 - 1
        r = (r - 1.0f) / (r + 1.0f);
        high = QUARTER_PI;
        low = QUARTER_PI_LOW;
    }
    float z = r * r;
    float q = TTZO_MULADD(0.0805053636f, z, -0.138767198f);
    q = TTZO_MULADD(q, z, 0.199776232f);
    q = TTZO_MULADD(q, z, -0.333329469f);
    float y = high + (r + TTZO_MULADD(r * z, q, low));
    return from_bits(to_bits(y) | (to_bits(x) & SIGN));
}

float ttzo_atan2(float y, float x)
{
    float b = from_bits(to_bits(y) & ~SIGN), a = from_bits(to_bits(x) & ~SIGN);
    bool steep = b > a;
    float ratio = steep ? a / b : a == b ? (a == 0.0f ? 0.0f : 1.0f) : b / a; // of two infinities 1, as IEEE 754 has it
    if (to_bits(a) > INFINITE || to_bits(b) > INFINITE)
        return not_a_number();
    float angle = ttzo_atan(ratio);
    if (steep)
        angle = (HALF_PI - angle) + HALF_PI_LOW;
    if (to_bits(x) & SIGN)
        angle = 2.0f * HALF_PI - (angle - 2.0f * HALF_PI_LOW);
    return from_bits(to_bits(angle) | (to_bits(y) & SIGN));
}

void ttzo_sin_cos_turns(float turns, float *sine, float *cosine)
{
    float rounded = TTZO_MULADD(turns, 4.0f, ROUND);
    uint32_t quarters = to_bits(rounded) - ROUND_BITS;
    float r = 6.28318548f * TTZO_MULADD(rounded - ROUND, -0.25f, turns);
    float z = r * r;
    float along = sine_polynomial(r, z);
    float across = cosine_polynomial(z);
    uint32_t odd = quarters & 1u;
    *sine = from_bits(to_bits(odd ? across : along) ^ (quarters & 2u) << 30);
    *cosine = from_bits(to_bits(odd ? along : across) ^ ((quarters + 1u) & 2u) << 30);
}
