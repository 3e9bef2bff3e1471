// SPDX-License-Identifier: MIT
// node_cge of a layer that is taken by halves (unit_gradient.h): a sample's forward pass, and what the sample adds to
// the halves' derivatives. It lies at the beginning of the cache's `states`, made once a step.
#ifndef TTZO_HALVED_SUMS_H
#define TTZO_HALVED_SUMS_H
#include "cores/core_products.h"
#include "network/column_product.h"

struct ttzo_halved_sums {
    struct ttzo_halves halves;
    float *left, *right; // sums: [nl][r][ml], [r][nr][mr]
    float *middle;       // x' . L of the sample [nr][r][ml]; then R' . D' in the same order
    float *left_lines;   // L as [nl][r][ml] and R as [r][nr][mr]; NULL where they are laid out for every sample
    float *right_lines;
    const float *bias;      // [out_features], or NULL
    struct ttzo_range live; // the sample's columns nr that are not zero throughout
};

// Numbers of `states`, and of the `panels` that the functions below use, for halves of this shape.
uint64_t ttzo_halved_sums_numbers(const struct ttzo_halves *halves);
uint64_t ttzo_halved_sums_panels(const struct ttzo_halves *halves);

// Before the first sample.
void ttzo_halved_sums_begin(const struct ttzo_layer_cache *cache);

// The cache's `z` from its `input`. Returns the multiply-adds done.
uint32_t ttzo_halved_sums_forward(const struct ttzo_layer_cache *cache);

// Adds what the units' differences D [ml][mr] make of the sample that went forward last. Returns the multiply-adds done.
uint32_t ttzo_halved_sums_add(const struct ttzo_layer_cache *cache, const float *differences);

// After the last sample: the halves' derivatives [ml][nl][r] and [r][mr][nr].
void ttzo_halved_sums_finish(const struct ttzo_layer_cache *cache, float *left, float *right);

#endif
