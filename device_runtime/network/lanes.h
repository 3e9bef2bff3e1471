// SPDX-License-Identifier: MIT
// Numbers side by side: four where a vector register takes them, else one. Each lane computes what a float would, bit
// for bit.
#ifndef TTZO_LANES_H
#define TTZO_LANES_H
#include <stdint.h>

#include "network/tile.h"
#include "number/real.h"

#if TTZO_TILE == 2 && !TTZO_FUSED && (defined(__SSE2__) || defined(__ARM_NEON))

#define TTZO_LANES 4u
typedef float ttzo_lanes __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t ttzo_lane_bits __attribute__((vector_size(16)));
typedef uint64_t ttzo_lane_pairs __attribute__((vector_size(16)));

// All bits where a > b, else none.
static inline ttzo_lane_bits ttzo_lanes_above(ttzo_lanes a, ttzo_lanes b)
{
    return (ttzo_lane_bits)(a > b);
}

static inline int ttzo_lanes_any(ttzo_lane_bits mask)
{
    ttzo_lane_pairs pairs = (ttzo_lane_pairs)mask;
    return (pairs[0] | pairs[1]) != 0;
}

static inline ttzo_lanes ttzo_lanes_of(float x)
{
    return (ttzo_lanes){ x, x, x, x };
}

static inline float ttzo_lanes_first(ttzo_lanes x)
{
    return x[0];
}

#else

#define TTZO_LANES 1u
typedef float ttzo_lanes;
typedef uint32_t ttzo_lane_bits;

static inline ttzo_lane_bits ttzo_lanes_above(ttzo_lanes a, ttzo_lanes b)
{
    return a > b ? 0xFFFFFFFFu : 0u;
}

static inline int ttzo_lanes_any(ttzo_lane_bits mask)
{
    return mask != 0;
}

static inline ttzo_lanes ttzo_lanes_of(float x)
{
    return x;
}

static inline float ttzo_lanes_first(ttzo_lanes x)
{
    return x;
}

#endif

union ttzo_lanes_and_bits {
    ttzo_lanes value;
    ttzo_lane_bits bits;
};

static inline ttzo_lane_bits ttzo_lanes_to_bits(ttzo_lanes value)
{
    union ttzo_lanes_and_bits both = { .value = value };
    return both.bits;
}

static inline ttzo_lanes ttzo_lanes_from_bits(ttzo_lane_bits bits)
{
    union ttzo_lanes_and_bits both = { .bits = bits };
    return both.value;
}

static inline ttzo_lanes ttzo_lanes_choose(ttzo_lane_bits mask, ttzo_lanes yes, ttzo_lanes no)
{
#if TTZO_LANES == 1
    return mask ? yes : no;
#else
    return ttzo_lanes_from_bits((mask & ttzo_lanes_to_bits(yes)) | (~mask & ttzo_lanes_to_bits(no)));
#endif
}

static inline ttzo_lanes ttzo_lanes_load(const float *at)
{
    return *(const ttzo_lanes *)(const void *)at;
}

static inline void ttzo_lanes_store(float *at, ttzo_lanes numbers)
{
    *(ttzo_lanes *)(void *)at = numbers;
}

#endif
