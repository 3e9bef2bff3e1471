// SPDX-License-Identifier: MIT
// What environments are made of at one parameter vector: the cores of a layer on either side of one, multiplied out.
#ifndef TTZO_CORE_PRODUCTS_H
#define TTZO_CORE_PRODUCTS_H
#include "network/layers.h"

// Numbers of a cache: float, or in 16 bits with 11 of them behind the point.
struct ttzo_array {
    void *numbers;
    bool narrow;
    uint8_t activation; // enum ttzo_activation: which function of the numbers is meant
};

// An integer of a number's bits.
#ifndef TTZO_SIZE_BITS
#define TTZO_SIZE_BITS uint32_t
#endif

// Bits that grow with a number's size; 0 for 0.
static inline TTZO_SIZE_BITS ttzo_size_bits(float number)
{
    union { float number; TTZO_SIZE_BITS bits; } both = { number };
    return both.bits << 1;
}

static inline bool ttzo_is_narrow(struct ttzo_array array)
{
    return TTZO_HAS(NARROW) && array.narrow;
}

static inline float ttzo_load(const void *numbers, uint32_t i, bool narrow)
{
    return TTZO_HAS(NARROW) && narrow ? (float)((const int16_t *)numbers)[i] * (1.0f / 2048.0f)
                                      : ((const float *)numbers)[i];
}

// The array from number i on.
static inline struct ttzo_array ttzo_array_from(struct ttzo_array array, uint32_t i)
{
    uint8_t *bytes = array.numbers;
    return (struct ttzo_array){ bytes + (ttzo_is_narrow(array) ? sizeof(int16_t) : sizeof(float)) * i, array.narrow,
                                array.activation };
}

// An array of floats that is only read.
static inline struct ttzo_array ttzo_array_of(const float *numbers)
{
    union { const float *read; void *any; } both = { numbers };
    return (struct ttzo_array){ both.any, false, TTZO_ACTIVATION_IDENTITY };
}

// To the nearest multiple of 2^-11, ties to even, saturated; 16 bits of it.
static inline int16_t ttzo_narrowed(float number)
{
    union { float number; uint32_t bits; } both = { number * 2048.0f };
    both.number = both.number > 32767.0f ? 32767.0f : both.number < -32768.0f ? -32768.0f : both.number;
    both.number = both.number + 12582912.0f; // leaves the nearest integer in the low bits
    uint32_t low = both.bits & 0xFFFFu;
    return (int16_t)(low < 0x8000u ? (int32_t)low : (int32_t)low - 0x10000);
}

// One layer's share of the caches.
struct ttzo_layer_cache {
    const struct ttzo_layer *layer;
    const float *parameters; // the layer's
    struct ttzo_array input; // [in_features] of the sample
    void *z;                 // [out_features] before the activation
    float *output;           // [out_features] behind it; NULL where the next layer reads z through the activation
    struct ttzo_array states; // slots of arrays that the forward pass and the sweep go through; or node_cge's sums
    float *panels;           // scratch of all rooms: operands of the product under way
    float *products;         // of cores
    void *matrix;            // [in_features, out_features], made once a step; NULL where rows are made when asked for
    bool has_matrix;         // whether the layer is taken as a matrix, made from products of cores
    bool keeps_halves;       // whether the two products that make a matrix stay
    bool has_narrow_z;       // `z` in 16 bits; a matrix is as `states` are
    uint8_t assembled;       // node_cge: enum ttzo_assembled
};

static inline struct ttzo_array ttzo_layer_cache_z(const struct ttzo_layer_cache *room)
{
    return (struct ttzo_array){ room->z, room->has_narrow_z, TTZO_ACTIVATION_IDENTITY };
}

static inline bool ttzo_has_narrow_matrix(const struct ttzo_layer_cache *room)
{
    return room->matrix && ttzo_is_narrow(room->states);
}

// Products of the output (m) and input (n) modes of the cores before (l) and behind (r) core k.
struct ttzo_extents {
    uint32_t ml, mr, nl, nr;
};

struct ttzo_extents ttzo_extents_around(const struct ttzo_layer *layer, uint32_t k);

// Whether the layer is a 2L-way TT; a dense one counts as a TT-matrix of one core.
bool ttzo_is_tensor(const struct ttzo_layer *layer);

// Core k's slices are made in one of three ways, each from the cheaper side:
//     TT-matrix, k below the cut    x contracted with the cores behind k, times the product of those before
//     TT-matrix, from the cut on    x contracted with the cores before k, times the product of those behind
//     2L-way TT                     the same; the product behind an input core goes through the middle rank
// The cut of a 2L-way TT is its first output core.
uint32_t ttzo_middle_core(const struct ttzo_layer *layer);

// BEFORE k: [ml][nl][left_k]      product of the cores before k
// BEHIND k: [right_k][mr][nr]     product of the cores behind k
// MIDDLE k: [right_k][nr][r]      2L-way TT: product of the input cores behind k; r is the middle rank
// A product of one core is the core itself and is not stored; a product of none is 1.
enum ttzo_side { TTZO_BEFORE, TTZO_BEHIND, TTZO_MIDDLE, TTZO_SIDES };

// Numbers in a room's `products`; `with_matrix`: those that make the matrix count too.
uint64_t ttzo_products_numbers(const struct ttzo_layer *layer, bool with_matrix);

// Numbers of `panels` that making a matrix takes, of a layer small enough for one.
uint64_t ttzo_matrix_panels(const struct ttzo_layer *layer);

// And those that making one of 16 bits takes.
uint64_t ttzo_matrix_scratch(const struct ttzo_layer *layer);

// Once a step: makes `products`, and `matrix` if there is one. Returns the multiply-adds done.
uint32_t ttzo_core_products_make(const struct ttzo_layer_cache *room);

// Where the layer is cut in these two products: a core stands on either side.
uint32_t ttzo_matrix_split(const struct ttzo_layer *layer);

// The two products that a layer's matrix is made of, and how rows are: [ml][nl][rank] and [rank][mr][nr].
struct ttzo_halves {
    const float *left, *right;
    uint32_t ml, nl, mr, nr, rank;
};

struct ttzo_halves ttzo_matrix_halves(const struct ttzo_layer_cache *room);

// Row `input` [ml * mr] of the matrix: the numbers that stand in `matrix` where that is kept.
uint32_t ttzo_matrix_row(const struct ttzo_halves *halves, uint32_t input, float *row);

// Where a product of two or more cores is kept.
float *ttzo_stored_product(const struct ttzo_layer_cache *room, enum ttzo_side side, uint32_t k);

// Product `k` of a side; NULL for the product of no core.
const float *ttzo_core_product(const struct ttzo_layer_cache *room, enum ttzo_side side, uint32_t k);

#endif
