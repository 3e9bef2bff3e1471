// SPDX-License-Identifier: MIT
#include "network/check_layer.h"

#include "network/gathered_layer.h"
#include "network/layers.h"
#include "network/split_layer.h"

static bool modes_multiply_to(const uint16_t *modes, uint32_t n, uint32_t features)
{
    uint64_t product = 1;
    for (uint32_t k = 0; k < n; k++) {
        product *= modes[k];
        if (product == 0 || product > features)
            return false;
    }
    return product == features;
}

static bool tensor_train_is_sound(const struct ttzo_layer *layer)
{
    uint32_t n_in = layer->n_in_modes, n_out = layer->n_out_modes;
    if (layer->kind == TTZO_LAYER_KIND_DENSE)
        return n_in == 0 && n_out == 0;
    if (n_in < 1 || n_out < 1 || n_in > TTZO_MAX_MODES || n_out > TTZO_MAX_MODES)
        return false;
    if (layer->kind == TTZO_LAYER_KIND_TT_MATRIX && n_in != n_out)
        return false;
    uint32_t length = ttzo_layer_length(layer);
    if (layer->ranks[0] != 1 || layer->ranks[length] != 1)
        return false;
    for (uint32_t k = 0; k < length; k++)
        if (layer->ranks[k] < 1 || layer->ranks[k] > TTZO_MAX_RANK)
            return false;
    return modes_multiply_to(layer->in_modes, n_in, layer->in_features) &&
           modes_multiply_to(layer->out_modes, n_out, layer->out_features);
}

// Numbers of the layer's widest array, in 64 bits: ranks and modes are sound, their products may still be too large.
bool ttzo_layer_width_is_sound(const struct ttzo_layer *layer)
{
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
        if ((uint64_t)step.repeats * step.rows * step.columns > TTZO_MAX_WIDTH ||
            (uint64_t)step.rows * step.inner > TTZO_MAX_WIDTH || (uint64_t)step.inner * step.columns > TTZO_MAX_WIDTH)
            return false;
    }
    return !ttzo_is_split(layer) ||
           (ttzo_split_prepared(layer) <= TTZO_MAX_WIDTH && ttzo_split_scratch(layer) <= TTZO_MAX_WIDTH);
}

static bool contraction_is_sound(const struct ttzo_layer *layer)
{
    return !ttzo_is_split(layer) ||
           (layer->kind == TTZO_LAYER_KIND_TT_MATRIX && layer->contraction <= layer->n_in_modes);
}

bool ttzo_layer_is_sound(const struct ttzo_layer *layer)
{
    return layer->kind <= TTZO_LAYER_KIND_TT_TENSOR && layer->activation <= TTZO_ACTIVATION_SINE &&
           layer->has_bias <= 1 && layer->in_features > 0 && layer->out_features > 0 && tensor_train_is_sound(layer) &&
           ttzo_gathered_is_sound(layer) && contraction_is_sound(layer) && ttzo_layer_width_is_sound(layer);
}
