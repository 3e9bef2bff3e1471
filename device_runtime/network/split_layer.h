// SPDX-License-Identifier: MIT
// A TT-matrix layer split in two: the cores on each side of the split are multiplied out once for a parameter vector,
// and every row then takes two matrix products instead of one for each core; split after the last core, one.
#ifndef TTZO_SPLIT_LAYER_H
#define TTZO_SPLIT_LAYER_H
#include "model/model.h"

#if TTZO_HAS(SPLIT)

// Numbers that `ttzo_split_prepare` writes, and of the scratch that it and `ttzo_split_forward` need; 64 bits, because
// the model may not be checked yet.
uint64_t ttzo_split_prepared(const struct ttzo_layer *layer);
uint64_t ttzo_split_scratch(const struct ttzo_layer *layer);

// Multiply-accumulates of one row.
uint64_t ttzo_split_macs(const struct ttzo_layer *layer);

// Multiplies the layer's two halves out: each a chain of products of cores from left to right. Returns the
// multiply-adds done.
uint64_t ttzo_split_prepare(const struct ttzo_layer *layer, const float *theta, float *prepared, float *scratch);

// One row: `in` [in_features] to `out` [out_features], before the activation.
void ttzo_split_forward(const struct ttzo_layer *layer, const float *theta, const float *prepared, const float *in,
                        float *out, float *scratch);

#else

static inline uint64_t ttzo_split_prepared(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

static inline uint64_t ttzo_split_scratch(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

static inline uint64_t ttzo_split_macs(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

static inline uint64_t ttzo_split_prepare(const struct ttzo_layer *layer, const float *theta, float *prepared,
                                          float *scratch)
{
    (void)layer, (void)theta, (void)prepared, (void)scratch;
    return 0;
}

static inline void ttzo_split_forward(const struct ttzo_layer *layer, const float *theta, const float *prepared,
                                      const float *in, float *out, float *scratch)
{
    (void)layer, (void)theta, (void)prepared, (void)in, (void)out, (void)scratch;
}

#endif
#endif
