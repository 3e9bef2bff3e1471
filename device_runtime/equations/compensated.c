// SPDX-License-Identifier: MIT
// Constants are the Taylor series', in two parts where one is not enough; the splits of pi/2 and ln 2 are those of
// real.c.
#include "equations/compensated.h"

static const float ROUND = 12582912.0f;
static const uint32_t ROUND_BITS = 0x4B400000u;

static struct ttzo_two_floats constant(float number, float rest)
{
    return ttzo_two_floats_of(ttzo_lanes_of(number), ttzo_lanes_of(rest));
}

static struct ttzo_two_floats a_sixth(void)
{
    return constant(0.166666672f, -4.96705366e-09f);
}
static struct ttzo_two_floats a_twenty_fourth(void)
{
    return constant(0.0416666679f, -1.24176342e-09f);
}

// constant + small, |small| < |constant|
static struct ttzo_two_floats beside(struct ttzo_two_floats x, ttzo_lanes small)
{
    ttzo_lanes made = x.head + small;
    return ttzo_two_floats_of(made, ((x.head - made) + small) + x.tail);
}

// scale x + total, the scale a power of two
static struct ttzo_sum added(struct ttzo_two_floats x, float scale, struct ttzo_sum total)
{
    total = ttzo_plus(total, scale * x.head);
    total.rest = TTZO_MULADD(ttzo_lanes_of(scale), x.tail, total.rest);
    return total;
}

static struct ttzo_two_floats choose(ttzo_lane_bits mask, struct ttzo_two_floats yes, struct ttzo_two_floats no)
{
    return (struct ttzo_two_floats){ ttzo_lanes_choose(mask, yes.head, no.head),
                                     ttzo_lanes_choose(mask, yes.tail, no.tail) };
}

// p s + c
static ttzo_lanes on(ttzo_lanes p, ttzo_lanes s, float c)
{
    return TTZO_MULADD(p, s, ttzo_lanes_of(c));
}

// ---- circular functions ---------------------------------------------------------------------------------------------

// z minus the nearest multiple of pi/2; the multiple's low bits into `quarters`.
static inline struct ttzo_two_floats reduced(struct ttzo_two_floats z, ttzo_lane_bits *quarters)
{
    ttzo_lanes x = ttzo_two_floats_whole(z), lost = (z.head - x) + z.tail;
    ttzo_lanes shifted = on(x, ttzo_lanes_of(0.636619747f), ROUND), multiple = shifted - ROUND;
    ttzo_lanes near = TTZO_MULADD(multiple, ttzo_lanes_of(-1.5703125f), x);
    ttzo_lanes rest = TTZO_MULADD(multiple, ttzo_lanes_of(-7.54953362e-08f), lost);
    rest = TTZO_MULADD(multiple, ttzo_lanes_of(-2.56334407e-12f), rest);
    *quarters = ttzo_lanes_to_bits(shifted) - ROUND_BITS;
    return ttzo_rounded(ttzo_plus((struct ttzo_sum){ near, rest }, multiple * -0.000483751297f));
}

// r - r^3 / 6 + ..
static inline struct ttzo_two_floats sine_of_reduced(struct ttzo_two_floats r, struct ttzo_two_floats square)
{
    ttzo_lanes s = ttzo_two_floats_whole(square);
    ttzo_lanes p = on(on(ttzo_lanes_of(-2.50521084e-08f), s, 2.75573192e-06f), s, -0.000198412698f);
    p = on(p, s, 0.00833333333f) * s;
    struct ttzo_sum total = { r.head, r.tail };
    return ttzo_rounded(
        ttzo_two_floats_muladd(ttzo_two_floats_times(r, square), beside(ttzo_two_floats_minus(a_sixth()), p), total));
}

// 1 - r^2 / 2 + r^4 / 24 - ..
static inline __attribute__((always_inline)) struct ttzo_two_floats cosine_of_reduced(struct ttzo_two_floats square)
{
    ttzo_lanes s = ttzo_two_floats_whole(square);
    ttzo_lanes q = on(on(ttzo_lanes_of(2.08767570e-09f), s, -2.75573192e-07f), s, 2.48015873e-05f);
    q = on(q, s, -0.00138888889f) * s;
    struct ttzo_sum total = { ttzo_lanes_of(1.0f), ttzo_lanes_of(0.0f) };
    total = ttzo_two_floats_muladd(ttzo_two_floats_times(square, square), beside(a_twenty_fourth(), q), total);
    return ttzo_rounded(added(square, -0.5f, total));
}

// NaN where |z| is too large, or no number.
static struct ttzo_two_floats only_known(struct ttzo_two_floats z, struct ttzo_two_floats made)
{
    ttzo_lanes size = ttzo_lanes_from_bits(ttzo_lanes_to_bits(ttzo_two_floats_whole(z)) & 0x7FFFFFFFu);
    ttzo_lane_bits known = ttzo_lanes_above(ttzo_lanes_of(100000.0f), size);
    ttzo_lanes unknown = ttzo_lanes_from_bits(ttzo_lanes_to_bits(ttzo_lanes_of(0.0f)) | 0x7FC00000u);
    return choose(known, made, (struct ttzo_two_floats){ unknown, unknown });
}

struct ttzo_sine_and_cosine ttzo_two_floats_sine(struct ttzo_two_floats z)
{
    ttzo_lane_bits quarters;
    struct ttzo_two_floats r = reduced(z, &quarters), square = ttzo_two_floats_times(r, r);
    struct ttzo_two_floats s = sine_of_reduced(r, square), c = cosine_of_reduced(square);
    ttzo_lane_bits odd = 0u - (quarters & 1u), turned = 0u - (quarters >> 1 & 1u);
    struct ttzo_two_floats along = choose(odd, c, s), across = choose(odd, ttzo_two_floats_minus(s), c);
    return (struct ttzo_sine_and_cosine){ only_known(z, choose(turned, ttzo_two_floats_minus(along), along)),
                                          only_known(z, choose(turned, ttzo_two_floats_minus(across), across)) };
}

struct ttzo_two_floats ttzo_two_floats_sine_alone(struct ttzo_two_floats z)
{
    ttzo_lane_bits quarters;
    struct ttzo_two_floats r = reduced(z, &quarters), square = ttzo_two_floats_times(r, r), along;
    ttzo_lane_bits odd = 0u - (quarters & 1u), turned = 0u - (quarters >> 1 & 1u);
    if (TTZO_LANES == 1)
        along = ttzo_lanes_any(odd) ? cosine_of_reduced(square) : sine_of_reduced(r, square);
    else
        along = choose(odd, cosine_of_reduced(square), sine_of_reduced(r, square));
    return only_known(z, choose(turned, ttzo_two_floats_minus(along), along));
}

// ---- the hyperbolic tangent -----------------------------------------------------------------------------------------

static struct ttzo_two_floats quotient(struct ttzo_two_floats x, struct ttzo_two_floats y)
{
    ttzo_lanes by = ttzo_two_floats_whole(y), first = ttzo_two_floats_whole(x) / by;
    struct ttzo_two_floats taken = ttzo_two_floats_of(-first, ttzo_lanes_of(0.0f));
    struct ttzo_sum left = ttzo_two_floats_muladd(taken, y, (struct ttzo_sum){ x.head, x.tail });
    return ttzo_rounded((struct ttzo_sum){ first, (left.sum + left.rest) / by });
}

// exp(r) - 1, |r| <= ln 2 / 2
static struct ttzo_sum expm1_of_reduced(struct ttzo_two_floats r)
{
    ttzo_lanes s = ttzo_two_floats_whole(r);
    ttzo_lanes p = on(on(ttzo_lanes_of(2.75573192e-06f), s, 2.48015873e-05f), s, 0.000198412698f);
    p = on(on(p, s, 0.00138888889f), s, 0.00833333333f) * s;
    struct ttzo_two_floats square = ttzo_two_floats_times(r, r);
    struct ttzo_sum total = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
    total = ttzo_two_floats_muladd(ttzo_two_floats_times(square, square), beside(a_twenty_fourth(), p), total);
    total = ttzo_two_floats_muladd(ttzo_two_floats_times(r, square), a_sixth(), total);
    return added(r, 1.0f, added(square, 0.5f, total));
}

// With e = exp(2 |z|) = 2^k (1 + m): tanh |z| = (m + 1 - 2^-k) / (m + 1 + 2^-k).
struct ttzo_two_floats ttzo_two_floats_tanh(struct ttzo_two_floats z)
{
    const ttzo_lanes one = ttzo_lanes_of(1.0f), most_size = ttzo_lanes_of(14.0f); // from where tanh is 1
    ttzo_lanes x = ttzo_two_floats_whole(z), lost = (z.head - x) + z.tail;
    ttzo_lane_bits below = ttzo_lanes_above(ttzo_lanes_of(0.0f), x);
    ttzo_lanes size = ttzo_lanes_from_bits(ttzo_lanes_to_bits(x) & 0x7FFFFFFFu);
    ttzo_lane_bits far = ttzo_lanes_above(size, most_size);
    size = 2.0f * ttzo_lanes_choose(far, most_size, size);
    lost = 2.0f * ttzo_lanes_choose(far, ttzo_lanes_of(0.0f), ttzo_lanes_choose(below, -lost, lost));
    ttzo_lanes shifted = on(size, ttzo_lanes_of(1.44269502f), ROUND), multiple = shifted - ROUND;
    struct ttzo_sum near = { TTZO_MULADD(multiple, ttzo_lanes_of(-0.693145752f), size),
                             TTZO_MULADD(multiple, ttzo_lanes_of(-1.42860677e-06f), lost) };
    struct ttzo_sum m = expm1_of_reduced(ttzo_rounded(near));
    ttzo_lanes shrunk = ttzo_lanes_from_bits((127u - (ttzo_lanes_to_bits(shifted) - ROUND_BITS)) << 23); // 2^-k
    ttzo_lanes most = one - shrunk;
    m.rest = ((one - most) - shrunk) + m.rest;
    struct ttzo_sum above = ttzo_plus(m, most);
    struct ttzo_two_floats made = quotient(ttzo_rounded(above), ttzo_rounded(ttzo_plus(above, 2.0f * shrunk)));
    return choose(below, ttzo_two_floats_minus(made), made);
}
