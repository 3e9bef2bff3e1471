// SPDX-License-Identifier: MIT
// Twice as many numbers side by side as lanes.h has, where the processor's registers take eight; else the same. Each
// lane computes what a float would, bit for bit.
#ifndef TTZO_WIDE_H
#define TTZO_WIDE_H
#include "network/lanes.h"

#if TTZO_LANES == 4 && defined(__AVX2__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TTZO_WIDE 8u
#endif
#endif

#ifdef TTZO_WIDE

typedef float ttzo_wide __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t ttzo_wide_bits __attribute__((vector_size(32)));

static inline ttzo_wide ttzo_wide_of(float x)
{
    return (ttzo_wide){ x, x, x, x, x, x, x, x };
}

static inline ttzo_wide ttzo_wide_load(const float *at)
{
    return *(const ttzo_wide *)(const void *)at;
}

static inline void ttzo_wide_store(float *at, ttzo_wide numbers)
{
    *(ttzo_wide *)(void *)at = numbers;
}

// TTZO_LANES numbers of two places each; without wide lanes those of the first alone. The second is stored first: the
// places may be the same.
static inline ttzo_wide ttzo_wide_of_two(const float *first, const float *second)
{
    return __builtin_shufflevector(ttzo_lanes_load(first), ttzo_lanes_load(second), 0, 1, 2, 3, 4, 5, 6, 7);
}

static inline void ttzo_wide_to_two(float *first, float *second, ttzo_wide numbers)
{
    ttzo_lanes_store(second, __builtin_shufflevector(numbers, numbers, 4, 5, 6, 7));
    ttzo_lanes_store(first, __builtin_shufflevector(numbers, numbers, 0, 1, 2, 3));
}

static inline ttzo_wide ttzo_wide_of_pair(float first, float second)
{
    return (ttzo_wide){ first, first, first, first, second, second, second, second };
}

static inline ttzo_wide_bits ttzo_wide_above(ttzo_wide a, ttzo_wide b)
{
    return (ttzo_wide_bits)(a > b);
}

static inline int ttzo_wide_any(ttzo_wide_bits mask)
{
    return ttzo_lanes_any(__builtin_shufflevector(mask, mask, 0, 1, 2, 3) |
                          __builtin_shufflevector(mask, mask, 4, 5, 6, 7));
}

union ttzo_wide_and_bits {
    ttzo_wide value;
    ttzo_wide_bits bits;
};

static inline ttzo_wide_bits ttzo_wide_to_bits(ttzo_wide value)
{
    union ttzo_wide_and_bits both = { .value = value };
    return both.bits;
}

static inline ttzo_wide ttzo_wide_from_bits(ttzo_wide_bits bits)
{
    union ttzo_wide_and_bits both = { .bits = bits };
    return both.value;
}

static inline ttzo_wide ttzo_wide_choose(ttzo_wide_bits mask, ttzo_wide yes, ttzo_wide no)
{
    return ttzo_wide_from_bits((mask & ttzo_wide_to_bits(yes)) | (~mask & ttzo_wide_to_bits(no)));
}

#else

#define TTZO_WIDE TTZO_LANES
typedef ttzo_lanes ttzo_wide;
typedef ttzo_lane_bits ttzo_wide_bits;
#define ttzo_wide_of ttzo_lanes_of
#define ttzo_wide_load ttzo_lanes_load
#define ttzo_wide_store ttzo_lanes_store
#define ttzo_wide_above ttzo_lanes_above
#define ttzo_wide_any ttzo_lanes_any
#define ttzo_wide_to_bits ttzo_lanes_to_bits
#define ttzo_wide_from_bits ttzo_lanes_from_bits
#define ttzo_wide_choose ttzo_lanes_choose

static inline ttzo_wide ttzo_wide_of_two(const float *first, const float *second)
{
    (void)second;
    return ttzo_lanes_load(first);
}

static inline void ttzo_wide_to_two(float *first, float *second, ttzo_wide numbers)
{
    (void)second;
    ttzo_lanes_store(first, numbers);
}

static inline ttzo_wide ttzo_wide_of_pair(float first, float second)
{
    (void)second;
    return ttzo_lanes_of(first);
}

#endif

#endif
