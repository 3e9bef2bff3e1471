// SPDX-License-Identifier: MIT
// Per-sample caches of cge and cocd in networks with convolutions or embeddings: every layer before and after its
// activation, and one application of a layer (the patch at a position, or a token) with its environments.
#ifndef TTZO_GATHERED_CACHE_H
#define TTZO_GATHERED_CACHE_H
#include "cores/environments.h"
#include "model/carve.h"

struct ttzo_gathered_layer_cache {
    const float *input;       // [inputs] of the sample
    float *z, *output;        // [outputs] before and after the activation
    float *products, *matrix; // of one application, made once a step
    float *weights;           // patches after another layer: the matrix as [in_feature][out_feature]
};

struct ttzo_gathered_cache {
    const struct ttzo_model *model;
    const float *theta;
    struct ttzo_gathered_layer_cache layers[TTZO_MAX_LAYERS];
    float *inputs, *slopes;
    const uint8_t *target;
    float *forward; // scratch of a forward pass: the place of the moves that the gradient makes afterwards

    // one application of a layer
    uint32_t l;                    // the layer under way
    struct ttzo_layer application; // of it, as a layer of its own
    struct ttzo_layer_cache one;   // its caches
    float *patch;                  // [in_features]
    float *z;                      // [out_features]
    float *token_parameters;       // of a token's layer
    float *states, *panels;
    uint64_t macs; // multiply-adds done
};

// Whether layer `l` is multiplied out to a matrix once a step: a train after another layer is.
bool ttzo_gathered_makes_matrix(const struct ttzo_layer *layer, uint32_t l);

static inline bool ttzo_has_patches(const struct ttzo_layer *layer)
{
    return layer->gather == TTZO_GATHER_PATCHES;
}

static inline bool ttzo_has_tokens(const struct ttzo_layer *layer)
{
    return layer->gather == TTZO_GATHER_TOKENS;
}

// The matrix of layer `l`: element (input, output) of one application.
struct ttzo_operand ttzo_gathered_matrix(const struct ttzo_gathered_cache *cache, uint32_t l);

// Lays the caches out; `model` is set.
void ttzo_gathered_cache_carve(struct ttzo_gathered_cache *cache, struct ttzo_carve *carve);

// Once a step, at the parameters `theta`: makes what all samples share.
void ttzo_gathered_cache_begin(struct ttzo_gathered_cache *cache, const float *theta);

// Once a sample; returns its loss. `outputs` [out_features] is scratch.
float ttzo_gathered_cache_forward(struct ttzo_gathered_cache *cache, const uint8_t *row, float *outputs);

// Turns `one` to the application of layer `l` at a position: the patch there, or the token's own layer.
void ttzo_gathered_cache_turn_to(struct ttzo_gathered_cache *cache, uint32_t l, uint32_t position);

#endif
