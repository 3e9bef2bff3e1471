// SPDX-License-Identifier: MIT
// Numbers as sums of two floats, worth some 36 bits: what a float loses is carried along (compensated arithmetic). A
// number's head has 12 bits, so that the product of two heads is exact without a fused multiply-add.
#ifndef TTZO_COMPENSATED_H
#define TTZO_COMPENSATED_H
#include "network/lanes.h"

struct ttzo_two_floats {
    ttzo_lanes head, tail;
};

// A sum under way, and what its roundings lost.
struct ttzo_sum {
    ttzo_lanes sum, rest;
};

// Its upper 12 bits.
static inline ttzo_lanes ttzo_head(ttzo_lanes number)
{
    return ttzo_lanes_from_bits(ttzo_lanes_to_bits(number) & 0xFFFFF000u);
}

// number + rest, the rest below the number's last bits.
static inline struct ttzo_two_floats ttzo_two_floats_of(ttzo_lanes number, ttzo_lanes rest)
{
    ttzo_lanes head = ttzo_head(number);
    return (struct ttzo_two_floats){ head, (number - head) + rest };
}

static inline ttzo_lanes ttzo_two_floats_whole(struct ttzo_two_floats x)
{
    return x.head + x.tail;
}

static inline struct ttzo_two_floats ttzo_two_floats_minus(struct ttzo_two_floats x)
{
    return (struct ttzo_two_floats){ -x.head, -x.tail };
}

// total + number: nothing is lost, whichever is larger.
static inline struct ttzo_sum ttzo_plus(struct ttzo_sum total, ttzo_lanes number)
{
    ttzo_lanes made = total.sum + number, moved = made - total.sum;
    return (struct ttzo_sum){ made, total.rest + ((total.sum - (made - moved)) + (number - moved)) };
}

static inline struct ttzo_sum ttzo_two_floats_product(struct ttzo_two_floats x, struct ttzo_two_floats y)
{
    return (struct ttzo_sum){ x.head * y.head, TTZO_MULADD(ttzo_two_floats_whole(x), y.tail, x.tail * y.head) };
}

// x y + total
static inline struct ttzo_sum ttzo_two_floats_muladd(struct ttzo_two_floats x, struct ttzo_two_floats y,
                                                     struct ttzo_sum total)
{
    ttzo_lanes rest = TTZO_MULADD(x.tail, y.head, total.rest);
    total.rest = TTZO_MULADD(ttzo_two_floats_whole(x), y.tail, rest);
    return ttzo_plus(total, x.head * y.head);
}

// A rest that is the larger one, where terms cancelled, is no less exact for it.
static inline struct ttzo_two_floats ttzo_rounded(struct ttzo_sum total)
{
    ttzo_lanes made = total.sum + total.rest;
    return ttzo_two_floats_of(made, (total.sum - made) + total.rest);
}

static inline struct ttzo_two_floats ttzo_two_floats_times(struct ttzo_two_floats x, struct ttzo_two_floats y)
{
    return ttzo_rounded(ttzo_two_floats_product(x, y));
}

// By value: a Cortex-M returns it in registers.
struct ttzo_sine_and_cosine {
    struct ttzo_two_floats sine, cosine;
};

// sin z and cos z within 2^-31 as far as |z| = 10^4; NaN from 10^5 on.
struct ttzo_sine_and_cosine ttzo_two_floats_sine(struct ttzo_two_floats z);

// The sine alone, of the same bits.
struct ttzo_two_floats ttzo_two_floats_sine_alone(struct ttzo_two_floats z);

// tanh z within 2^-33.
struct ttzo_two_floats ttzo_two_floats_tanh(struct ttzo_two_floats z);

#endif
