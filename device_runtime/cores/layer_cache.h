// SPDX-License-Identifier: MIT
// What estimators that reuse a core's environments keep of one layer and one sample, as float or in 16 bits.
#ifndef TTZO_LAYER_CACHE_H
#define TTZO_LAYER_CACHE_H
#include "model/model.h"
#include "number/real.h"

// Numbers of a cache: float, or in 16 bits with 11 of them after the point.
struct ttzo_array {
    void *numbers;
    bool narrow;
    uint8_t activation; // enum ttzo_activation: which function of the numbers is meant
};

// Bits that grow with a number's size; 0 for 0.
static inline TTZO_SIZE_BITS ttzo_size_bits(float number)
{
    union {
        float number;
        TTZO_SIZE_BITS bits;
    } both = { number };
    return both.bits << 1;
}

static inline TTZO_SIZE_BITS ttzo_larger_size(TTZO_SIZE_BITS size, float number)
{
    return ttzo_size_bits(number) > size ? ttzo_size_bits(number) : size;
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
    union {
        const float *read;
        void *any;
    } both = { numbers };
    return (struct ttzo_array){ both.any, false, TTZO_ACTIVATION_IDENTITY };
}

// To the nearest multiple of 2^-11, ties to even, saturated; 16 bits of it.
static inline int16_t ttzo_narrowed(float number)
{
    union {
        float number;
        uint32_t bits;
    } both = { number * 2048.0f };
    both.number = both.number > 32767.0f ? 32767.0f : both.number < -32768.0f ? -32768.0f : both.number;
    both.number = both.number + 12582912.0f; // leaves the nearest integer in the low bits
    uint32_t low = both.bits & 0xFFFFu;
    return (int16_t)(low < 0x8000u ? (int32_t)low : (int32_t)low - 0x10000);
}

// One layer's share of the caches.
struct ttzo_layer_cache {
    const struct ttzo_layer *layer;
    const float *parameters;  // the layer's
    struct ttzo_array input;  // [in_features] of the sample
    void *z;                  // [out_features] before the activation
    float *output;            // [out_features] after it; NULL where the next layer reads z through the activation
    struct ttzo_array states; // slots of arrays that the forward pass and the sweep go through; or node_cge's sums
    float *panels;            // scratch of all layers: operands of the product under way
    float *products;          // of cores
    void *matrix;             // [in_features, out_features], made once a step; NULL where rows are made when asked for
    bool has_matrix;          // whether the layer is taken as a matrix, made from products of cores
    bool keeps_halves;        // whether the two products that make a matrix stay
    bool has_narrow_z;        // `z` in 16 bits; a matrix is as `states` are
    uint8_t assembled;        // node_cge: enum ttzo_assembled
};

static inline struct ttzo_array ttzo_layer_cache_z(const struct ttzo_layer_cache *cache)
{
    return (struct ttzo_array){ cache->z, cache->has_narrow_z, TTZO_ACTIVATION_IDENTITY };
}

static inline bool ttzo_has_narrow_matrix(const struct ttzo_layer_cache *cache)
{
    return cache->matrix && ttzo_is_narrow(cache->states);
}

#endif
