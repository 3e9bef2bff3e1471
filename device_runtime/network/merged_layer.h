// SPDX-License-Identifier: MIT
// A layer of a network that derivatives go through: of a 2L-way train, neighbouring cores are multiplied out two by
// two, which halves its multiply-adds. Equations only.
#ifndef TTZO_MERGED_LAYER_H
#define TTZO_MERGED_LAYER_H
#include "model/model.h"

#if TTZO_HAS(EQUATIONS)

// How many cores are taken together from core `k` on, one or two: input cores two by two from the first, output cores
// up to the last.
uint32_t ttzo_cores_together(const struct ttzo_layer *layer, uint32_t k);

// Numbers of a layer's parameters with cores merged; 0 when none are. 64 bits, because it may not be checked yet.
uint64_t ttzo_merged_numbers(const struct ttzo_layer *layer);

// The layer with cores merged, its first parameter at 0; the same layer when none are.
struct ttzo_layer ttzo_merged_layer(const struct ttzo_layer *layer);

// Writes its parameters.
void ttzo_merge_cores(const struct ttzo_layer *layer, const float *theta, float *merged);

#else

static inline uint64_t ttzo_merged_numbers(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

static inline struct ttzo_layer ttzo_merged_layer(const struct ttzo_layer *layer)
{
    return *layer;
}

#endif
#endif
