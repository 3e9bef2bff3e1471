// SPDX-License-Identifier: MIT
// What environments are made of at one parameter vector: the cores of a layer on either side of one, multiplied out.
#ifndef TTZO_CORE_PRODUCTS_H
#define TTZO_CORE_PRODUCTS_H
#include "cores/layer_cache.h"
#include "network/layers.h"

// Products of the output (m) and input (n) modes of the cores before (l) and after (r) core k.
struct ttzo_extents {
    uint32_t ml, mr, nl, nr;
};

struct ttzo_extents ttzo_extents_around(const struct ttzo_layer *layer, uint32_t k);

// Whether the layer is a 2L-way TT; a dense one counts as a TT-matrix of one core.
bool ttzo_is_tensor(const struct ttzo_layer *layer);

// Core k's slices are made in one of three ways, each from the cheaper side:
//     TT-matrix, k below the middle      x contracted with the cores after k, times the product of those before
//     TT-matrix, from the middle on    x contracted with the cores before k, times the product of those after
//     2L-way TT                        the same; the product after an input core goes through the middle rank
// The middle core of a 2L-way TT is its first output core.
uint32_t ttzo_middle_core(const struct ttzo_layer *layer);

// BEFORE k: [ml][nl][left_k]      product of the cores before k
// AFTER k:  [right_k][mr][nr]     product of the cores after k
// MIDDLE k: [right_k][nr][r]      2L-way TT: product of the input cores after k; r is the middle rank
// A product of one core is the core itself and is not stored; a product of none is 1.
enum ttzo_side { TTZO_BEFORE, TTZO_AFTER, TTZO_MIDDLE, TTZO_SIDES };

// Numbers in a cache's `products`; `with_matrix`: those that make the matrix count too.
uint64_t ttzo_products_numbers(const struct ttzo_layer *layer, bool with_matrix);

// Numbers of `panels` that making a matrix takes, of a layer small enough for one.
uint64_t ttzo_matrix_panels(const struct ttzo_layer *layer);

// And those that making one of 16 bits takes.
uint64_t ttzo_matrix_scratch(const struct ttzo_layer *layer);

// Once a step: makes `products`, and `matrix` if there is one. Returns the multiply-adds done.
uint32_t ttzo_core_products_make(const struct ttzo_layer_cache *cache);

// The core before which the layer is split into these two products: a core stands on either side.
uint32_t ttzo_matrix_split(const struct ttzo_layer *layer);

// The two products that a layer's matrix is made of, and how rows are: [ml][nl][rank] and [rank][mr][nr].
struct ttzo_halves {
    const float *left, *right;
    uint32_t ml, nl, mr, nr, rank;
};

// Their extents alone, without the products.
struct ttzo_halves ttzo_halves_shape(const struct ttzo_layer *layer);

struct ttzo_halves ttzo_matrix_halves(const struct ttzo_layer_cache *cache);

// Row `input` [ml * mr] of the matrix: the numbers that stand in `matrix` where that is kept.
uint32_t ttzo_matrix_row(const struct ttzo_halves *halves, uint32_t input, float *row);

// Where a product of two or more cores is kept.
float *ttzo_stored_product(const struct ttzo_layer_cache *cache, enum ttzo_side side, uint32_t k);

// Product `k` of a side; NULL for the product of no core.
const float *ttzo_core_product(const struct ttzo_layer_cache *cache, enum ttzo_side side, uint32_t k);

#endif
