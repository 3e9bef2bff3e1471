// SPDX-License-Identifier: MIT
// node_cge: from what the loss changes by when a unit moves, D[unit], to the derivatives of all entries that move
// units, as products of matrices. With a layer's cores taken together on either side of its split (core_products.h),
//     W[(ml mr), (nl nr)] = sum over r of L[ml, nl, r] R[r, mr, nr],       z = bias + W x,
// the derivative of W is D[ml mr] x[nl nr], that of a half is this contracted with the other half, and that of a core
// comes from its half's in the same way. Halves add up over the samples; from them to the cores it goes once a step.
#ifndef TTZO_UNIT_GRADIENT_H
#define TTZO_UNIT_GRADIENT_H
#include "cores/core_products.h"

// What adds up: the matrix's derivative (of a dense layer, in the gradient itself), both halves', or, where neither is
// small, each entry's, made of slices as for queries.
enum ttzo_assembled { TTZO_BY_MATRIX, TTZO_BY_HALVES, TTZO_BY_SLICES };

// `keeps_matrix`: the layer is made a matrix, or is dense.
enum ttzo_assembled ttzo_assembled_by(const struct ttzo_layer *layer, bool keeps_matrix);

// Numbers of the sums, which lie in a cache's `states`, and of the `panels` that the functions below use. 64 bits,
// because the layer may not be checked yet.
uint64_t ttzo_sums_numbers(const struct ttzo_layer *layer, enum ttzo_assembled by);
uint64_t ttzo_sums_panels(const struct ttzo_layer *layer, enum ttzo_assembled by);

// Before the first sample.
void ttzo_sums_begin(const struct ttzo_layer_cache *cache);

// By matrix or by halves: the cache's `z` from its `input`. Like the functions below, returns the multiply-adds done.
uint32_t ttzo_sums_forward(const struct ttzo_layer_cache *cache);

// Adds what the units' differences [out_features] make of the sample that went forward last. `gradient` is the layer's,
// here and below.
uint32_t ttzo_sums_add(const struct ttzo_layer_cache *cache, const float *differences, float *gradient);

// After the last sample: adds the cores' derivatives into the gradient. Overwrites the cache's products.
uint32_t ttzo_sums_finish(const struct ttzo_layer_cache *cache, float *gradient);

#endif
