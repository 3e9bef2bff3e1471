// SPDX-License-Identifier: MIT
// Layers that are applied several times to a sample: to every patch of an image (convolution), or to the unit vector of
// every token (embedding). One application is the layer's own contraction, whatever its kind.
#ifndef TTZO_GATHERED_LAYER_H
#define TTZO_GATHERED_LAYER_H
#include "network/layers.h"

#if TTZO_HAS(GATHERED)

// Numbers of the arrays before and after a layer, and how often it is applied; of a layer that is `whole` its features
// and 1. 64 bits, because the layer may not be checked yet.
uint64_t ttzo_layer_inputs(const struct ttzo_layer *layer);
uint64_t ttzo_layer_outputs(const struct ttzo_layer *layer);
uint64_t ttzo_layer_positions(const struct ttzo_layer *layer);

// Whether a layer of the model is applied several times to a sample.
bool ttzo_has_gathered_layer(const struct ttzo_model *model);

// Whether what the record says of patches or tokens can be run; the rest of the layer is sound.
bool ttzo_gathered_is_sound(const struct ttzo_layer *layer);

// Numbers of scratch that ttzo_gathered_forward needs, and multiply-accumulates of one sample.
uint64_t ttzo_gathered_scratch(const struct ttzo_layer *layer);
uint64_t ttzo_gathered_macs(const struct ttzo_layer *layer);

// The patch [in_features] at a position of `image`, its numbers `stride` apart.
void ttzo_gathered_patch(const struct ttzo_layer *layer, const float *image, uint32_t position, float *patch,
                         uint32_t stride);

// One application as a layer of its own: that of patches, or that of one token, whose inputs are the single number 1.
struct ttzo_layer ttzo_gathered_application(const struct ttzo_layer *layer);

// The parameters of a token's layer: the slices of the cores that it picks.
void ttzo_gathered_token(const struct ttzo_layer *layer, const float *parameters, uint32_t token, float *picked);

// One core of a layer of tokens that is a matrix or a train of them, at a token's digit: [right][columns] to [left * m][columns], one chain of multiply-adds each.
void ttzo_token_contract(const struct ttzo_core *core, const float *parameters, uint32_t digit, const float *in,
                         uint32_t columns, float *out);

// One sample: `in` [inputs] to `out` [outputs], before the activation. Every output of an application is one chain of
// multiply-adds, as in ttzo_layer_forward; sums of tokens are added in their order.
void ttzo_gathered_forward(const struct ttzo_layer *layer, const float *theta, const float *in, float *out,
                           float *scratch);

// The same of a layer of patches with its bias (NULL for none) at another place than after its weights.
void ttzo_gathered_patches(const struct ttzo_layer *layer, const float *parameters, const float *bias, const float *in,
                           float *out, float *scratch);

#else

static inline uint64_t ttzo_layer_positions(const struct ttzo_layer *layer)
{
    (void)layer;
    return 1;
}

static inline uint64_t ttzo_layer_inputs(const struct ttzo_layer *layer)
{
    return layer->in_features;
}

static inline uint64_t ttzo_layer_outputs(const struct ttzo_layer *layer)
{
    return layer->out_features;
}

static inline bool ttzo_has_gathered_layer(const struct ttzo_model *model)
{
    (void)model;
    return false;
}

static inline bool ttzo_gathered_is_sound(const struct ttzo_layer *layer)
{
    return !layer->gather;
}

static inline uint64_t ttzo_gathered_scratch(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

static inline uint64_t ttzo_gathered_macs(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

static inline void ttzo_gathered_patch(const struct ttzo_layer *layer, const float *image, uint32_t position,
                                       float *patch, uint32_t stride)
{
    (void)layer, (void)image, (void)position, (void)patch, (void)stride;
}

static inline void ttzo_gathered_forward(const struct ttzo_layer *layer, const float *theta, const float *in,
                                         float *out, float *scratch)
{
    (void)layer, (void)theta, (void)in, (void)out, (void)scratch;
}

static inline void ttzo_gathered_patches(const struct ttzo_layer *layer, const float *parameters, const float *bias,
                                         const float *in, float *out, float *scratch)
{
    (void)layer, (void)parameters, (void)bias, (void)in, (void)out, (void)scratch;
}

#endif
#endif
