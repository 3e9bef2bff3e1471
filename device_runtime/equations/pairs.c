// SPDX-License-Identifier: MIT
#include "equations/pairs.h"

#include "network/wide.h"

#define PAIRS TTZO_PAIRS_AT_ONCE
#define AT_ONCE (TTZO_WIDE > PAIRS ? 2u : 1u) // units
#define STEP (TTZO_WIDE > PAIRS ? PAIRS : TTZO_WIDE)

// ---- sines ----------------------------------------------------------------------------------------------------------
// The polynomials and the split of pi/2 are those of real.c.

// x minus the nearest multiple of pi/2; the multiple's low bits into `quarters`.
static inline ttzo_wide reduce(ttzo_wide x, ttzo_wide_bits *quarters)
{
    const ttzo_wide round = ttzo_wide_of(12582912.0f);
    ttzo_wide rounded = TTZO_MULADD(x, 0.636619747f, round), multiple = rounded - round;
    ttzo_wide r = TTZO_MULADD(multiple, -1.5703125f, x);
    r = TTZO_MULADD(multiple, -0.000483751297f, r);
    r = TTZO_MULADD(multiple, -7.54953362e-08f, r);
    *quarters = ttzo_wide_to_bits(rounded) - 0x4B400000u;
    return TTZO_MULADD(multiple, -2.56334407e-12f, r);
}

// |x| <= pi/4
static inline void of_reduced(ttzo_wide r, ttzo_wide *sine, ttzo_wide *versine)
{
    ttzo_wide z = r * r;
    ttzo_wide p = TTZO_MULADD(z, -0.000195180997f, ttzo_wide_of(0.00833218824f));
    ttzo_wide q = TTZO_MULADD(z, 2.44325529e-05f, ttzo_wide_of(-0.00138873106f));
    p = TTZO_MULADD(p, z, ttzo_wide_of(-0.166666552f));
    q = TTZO_MULADD(q, z, ttzo_wide_of(0.0416666456f));
    *sine = TTZO_MULADD(r * z, p, r);
    *versine = TTZO_MULADD(z * -z, q, 0.5f * z);
}

#if TTZO_LANES > 1
__attribute__((always_inline)) // else vectors go through memory
#endif
static inline void sine_and_versine(ttzo_wide x, ttzo_wide *sine, ttzo_wide *versine)
{
    const ttzo_wide one = ttzo_wide_of(1.0f), two = ttzo_wide_of(2.0f);
    ttzo_wide size = ttzo_wide_from_bits(ttzo_wide_to_bits(x) & 0x7FFFFFFFu);
    ttzo_wide_bits reducible = ttzo_wide_above(ttzo_wide_of(0.78f), size);
    if (!ttzo_wide_any(~reducible)) { // less than a quarter of pi: nothing would be taken off
        of_reduced(x, sine, versine);
        return;
    }
    ttzo_wide_bits quarters;
    ttzo_wide s, v;
    of_reduced(reduce(x, &quarters), &s, &v);
    ttzo_wide_bits odd = 0u - (quarters & 1u), far = 0u - (quarters >> 1 & 1u), sign = (quarters & 2u) << 30;
    ttzo_wide signed_s = ttzo_wide_from_bits(ttzo_wide_to_bits(s) ^ sign);
    ttzo_wide cosine = ttzo_wide_from_bits(ttzo_wide_to_bits(one - v) ^ sign);
    ttzo_wide_bits known = ttzo_wide_above(ttzo_wide_of(100000.0f), size);
    ttzo_wide unknown = ttzo_wide_from_bits(ttzo_wide_to_bits(ttzo_wide_of(0.0f)) | 0x7FC00000u);
    *sine = ttzo_wide_choose(known, ttzo_wide_choose(odd, cosine, signed_s), unknown);
    *versine =
        ttzo_wide_choose(known, ttzo_wide_choose(odd, one + signed_s, ttzo_wide_choose(far, two - v, v)), unknown);
}

void ttzo_sine_and_versine(const float x[PAIRS], float sine[PAIRS], float versine[PAIRS])
{
    for (uint32_t k = 0; k < PAIRS; k += STEP) {
        ttzo_wide s, v;
        sine_and_versine(ttzo_wide_of_two(x + k, x + k), &s, &v);
        ttzo_wide_to_two(sine + k, sine + k, s);
        ttzo_wide_to_two(versine + k, versine + k, v);
    }
}

// With s = sin z and c = cos z: sin(z + e +- o) - s = [c sin e cos o - s (1 - cos e cos o)] +- cos(z + e) sin o.
static void sine_pairs(float *columns, const float *at, const float *slope, uint32_t n)
{
    const ttzo_wide one = ttzo_wide_of(1.0f);
    for (uint32_t j = 0; j < n; j += AT_ONCE) {
        uint32_t next = j + AT_ONCE <= n ? j + AT_ONCE - 1 : j; // a last unit may stand in for its neighbour
        float *first = columns + 2 * PAIRS * j, *second = columns + 2 * PAIRS * next;
        ttzo_wide s = ttzo_wide_of_pair(at[j], at[next]), c = ttzo_wide_of_pair(slope[j], slope[next]);
        for (uint32_t k = 0; k < PAIRS; k += STEP, first += STEP, second += STEP) {
            ttzo_wide sine_e, versine_e, sine_o, versine_o;
            sine_and_versine(ttzo_wide_of_two(first, second), &sine_e, &versine_e);
            sine_and_versine(ttzo_wide_of_two(first + PAIRS, second + PAIRS), &sine_o, &versine_o);
            ttzo_wide both = TTZO_MULADD(-versine_e, versine_o, versine_e + versine_o); // 1 - cos e cos o
            ttzo_wide at_e = TTZO_MULADD(-c, versine_e, TTZO_MULADD(-s, sine_e, c));    // cos(z + e)
            ttzo_wide_to_two(first, second, TTZO_MULADD(c * sine_e, one - versine_o, -s * both));
            ttzo_wide_to_two(first + PAIRS, second + PAIRS, at_e * sine_o);
        }
    }
}

// ---- other activations ----------------------------------------------------------------------------------------------

static float relu_difference(float d, float z)
{
    float moved = z + d;
    return z < 0.0f ? (moved < 0.0f ? 0.0f : moved) : moved < 0.0f ? -z : d;
}

static void relu_pair(float *even, float *odd, float z)
{
    float up = relu_difference(*even + *odd, z), down = relu_difference(*even - *odd, z);
    *even = 0.5f * (up + down);
    *odd = 0.5f * (up - down);
}

// With t = tanh z: tanh(z + e) - t = tanh(e) (1 - t^2) / (1 + t tanh(e)); from there, with a = tanh(z + e) and
// s = tanh(o), (a +- s) / (1 +- a s) = a - a s^2 (1 - a^2) / (1 - a^2 s^2) +- s (1 - a^2) / (1 - a^2 s^2).
static void tanh_pair(float *even, float *odd, float t, float slope)
{
    float of_e = ttzo_tanh(*even), s = ttzo_tanh(*odd);
    float shift = of_e * slope / TTZO_MULADD(t, of_e, 1.0f), a = t + shift, scaled = a * s;
    float share = TTZO_MULADD(-a, a, 1.0f) / TTZO_MULADD(-scaled, scaled, 1.0f);
    *even = TTZO_MULADD(-scaled * s, share, shift);
    *odd = s * share;
}

void ttzo_activate_pairs(enum ttzo_activation activation, float *columns, const float *at, const float *slope,
                         uint32_t n)
{
    if (activation == TTZO_ACTIVATION_SINE) {
        sine_pairs(columns, at, slope, n);
        return;
    }
    for (uint32_t j = 0; j < n && activation != TTZO_ACTIVATION_IDENTITY; j++, columns += 2 * PAIRS)
        for (uint32_t k = 0; k < PAIRS; k++)
            if (activation == TTZO_ACTIVATION_TANH)
                tanh_pair(columns + k, columns + PAIRS + k, at[j], slope[j]);
            else
                relu_pair(columns + k, columns + PAIRS + k, at[j]);
}

// ---- after the first layer -----------------------------------------------------------------------------------------

// The last unit first: its parts lie after all that is still to be read.
static void first_sine_pairs(float *columns, const float *at, const float *slope, uint32_t n)
{
    for (uint32_t j = n, next; j > 0; j = next) {
        next = j > AT_ONCE ? j - AT_ONCE : 0; // the unit below j - 1, which may stand in for it
        const float *low = columns + PAIRS * next, *high = columns + PAIRS * (j - 1);
        float *first = columns + 2 * PAIRS * next, *second = columns + 2 * PAIRS * (j - 1);
        ttzo_wide s = ttzo_wide_of_pair(at[next], at[j - 1]), c = ttzo_wide_of_pair(slope[next], slope[j - 1]);
        for (uint32_t k = 0; k < PAIRS; k += STEP) {
            ttzo_wide sine, versine;
            sine_and_versine(ttzo_wide_of_two(low + k, high + k), &sine, &versine);
            ttzo_wide_to_two(first + k, second + k, -s * versine);
            ttzo_wide_to_two(first + PAIRS + k, second + PAIRS + k, c * sine);
        }
    }
}

static void make_room_for_even_parts(float *columns, uint32_t n)
{
    for (uint32_t i = PAIRS * n; i-- > 0;) {
        float odd = columns[i], *even = columns + 2 * (i - i % PAIRS) + i % PAIRS;
        even[PAIRS] = odd;
        even[0] = 0.0f;
    }
}

void ttzo_activate_first_pairs(enum ttzo_activation activation, float *columns, const float *at, const float *slope,
                               uint32_t n)
{
    if (activation == TTZO_ACTIVATION_SINE) {
        first_sine_pairs(columns, at, slope, n);
        return;
    }
    make_room_for_even_parts(columns, n);
    ttzo_activate_pairs(activation, columns, at, slope, n);
}
