// SPDX-License-Identifier: MIT
// Arrays one after the other in one area. The function that hands them out is also the one that counts them: without an
// area it only counts, so that sizes and places cannot differ.
#ifndef TTZO_MODEL_CARVE_H
#define TTZO_MODEL_CARVE_H
#include <stddef.h>
#include <stdint.h>

struct ttzo_carve {
    float *area;      // 8-byte aligned; NULL: only count
    uint64_t numbers; // taken so far. 64 bits, because a model may not be checked yet
};

static inline uint64_t ttzo_even(uint64_t numbers)
{
    return (numbers + 1u) & ~(uint64_t)1u;
}

// The next n numbers; NULL without an area.
float *ttzo_take(struct ttzo_carve *carve, uint64_t n);

// The same, filled up to an even count: the next piece begins at a multiple of 8 bytes, and a kernel may load pairs.
float *ttzo_take_even(struct ttzo_carve *carve, uint64_t n);

#endif
