// SPDX-License-Identifier: MIT
// Every number of a model is checked here once, when it is loaded; later code relies on it.
#include "cores/gathered_gradient.h"
#include "cores/row_estimate.h"
#include "equations/gauss_newton.h"
#include "equations/pde_bundle.h"
#include "model/needed_parts.h"
#include "model/phase.h"
#include "network/gathered_layer.h"
#include "network/layers.h"
#include "network/merged_layer.h"
#include "network/split_layer.h"
#include "number/real.h"
#include "train/settings.h"
#include "ttzo.h"

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
static bool width_is_sound(const struct ttzo_layer *layer)
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

static bool layer_is_sound(const struct ttzo_layer *layer, uint32_t in_features, uint32_t parameter_offset)
{
    return layer->kind <= TTZO_LAYER_KIND_TT_TENSOR && layer->activation <= TTZO_ACTIVATION_SINE &&
           layer->has_bias <= 1 && layer->in_features > 0 && layer->out_features > 0 &&
           layer->parameter_offset == parameter_offset && tensor_train_is_sound(layer) &&
           ttzo_gathered_is_sound(layer) && ttzo_layer_inputs(layer) == in_features && contraction_is_sound(layer) &&
           width_is_sound(layer);
}

// Whether the layers with their cores merged stay within the limits too.
static bool merged_layers_are_sound(const struct ttzo_model *model)
{
    uint64_t numbers = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        struct ttzo_layer merged = ttzo_merged_layer(layer);
        if (!width_is_sound(&merged))
            return false;
        numbers += ttzo_merged_numbers(layer);
    }
    return numbers <= TTZO_MAX_WIDTH;
}

static bool layers_are_sound(const struct ttzo_model *model, uint32_t *detail)
{
    const struct ttzo_model_info *info = &model->info;
    uint32_t features = info->in_features, parameters = 0;
    for (uint32_t l = 0; l < info->n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        *detail = l;
        if (!layer_is_sound(layer, features, parameters))
            return false;
        parameters += ttzo_layer_parameters(layer);
        features = (uint32_t)ttzo_layer_outputs(layer);
        if (parameters > info->n_parameters)
            return false;
    }
    return parameters == info->n_parameters && features == info->out_features;
}

// Tokens are the network's inputs as they are; queries of coordinates go through small layers alone.
static bool gathers_are_sound(const struct ttzo_model *model, uint32_t *detail)
{
    const struct ttzo_model_info *info = &model->info;
    for (uint32_t l = 0; l < info->n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint32_t known = info->input_number == TTZO_NUMBER_UINT8 ? 256 : 32768;
        *detail = l;
        if (ttzo_is_gathered(layer) && info->cache != TTZO_CACHE_FLOAT32) // nothing of such a model is kept in 16 bits
            return false;
        if (ttzo_is_gathered(layer) && layer->gather == TTZO_GATHER_TOKENS &&
            (l > 0 || info->input_number == TTZO_NUMBER_FLOAT32 || info->input_scale != 1.0f ||
             info->input_offset != 0.0f || layer->in_features > known))
            return false;
    }
    *detail = info->n_layers;
    for (uint32_t p = 0; ttzo_has_gathered_layer(model) && p < ttzo_phase_count(model); p++) {
        uint8_t estimator = model->phases[p].estimator;
        if (ttzo_estimator_reuses(estimator) && !ttzo_gathered_gradient_is_sound(model, estimator))
            return false;
    }
    return true;
}

enum ttzo_error ttzo_check_model(const struct ttzo_model *model, uint32_t *detail)
{
    const struct ttzo_model_info *info = &model->info;
    // derivatives walk the layers core by core
    const uint32_t walked_otherwise = TTZO_PART_CORES | TTZO_PART_SPLIT | TTZO_PART_GATHERED;
    *detail = info->n_layers;
    if (info->n_layers < 1 || info->n_layers > TTZO_MAX_LAYERS || info->n_parameters > TTZO_MAX_PARAMETERS ||
        info->batch < 1 || info->batch > TTZO_MAX_BATCH || info->input_number > TTZO_NUMBER_FLOAT32 ||
        info->loss > TTZO_LOSS_RESIDUAL || !ttzo_is_finite(info->input_scale) || !ttzo_is_finite(info->input_offset))
        return TTZO_ERROR_BAD_MODEL;
    if (!layers_are_sound(model, detail) || !gathers_are_sound(model, detail))
        return TTZO_ERROR_BAD_MODEL;
    *detail = info->n_layers;
    if (ttzo_has_equation(model) &&
        (info->out_features != 1 || (ttzo_needed_parts(model) & walked_otherwise) || !merged_layers_are_sound(model) ||
         info->input_number != TTZO_NUMBER_FLOAT32 || !ttzo_pde_is_sound(&model->pde, info->in_features, info->batch)))
        return TTZO_ERROR_BAD_MODEL;
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        if (!ttzo_gauss_newton_is_sound(model, &model->phases[p]))
            return TTZO_ERROR_BAD_MODEL;
    for (uint32_t i = 0; i < info->n_parameters; i++)
        if (!ttzo_is_finite(model->parameters[i]))
            return TTZO_ERROR_BAD_MODEL;
    *detail = info->arithmetic;
    if (info->arithmetic != (TTZO_FUSED ? TTZO_ARITHMETIC_FUSED : TTZO_ARITHMETIC_SEPARATE))
        return TTZO_ERROR_WRONG_ARITHMETIC;
    *detail = info->n_layers;
    if (info->cache > TTZO_CACHE_INT16_LEAST || ttzo_row_estimate_numbers(model) > TTZO_MAX_WIDTH)
        return TTZO_ERROR_BAD_MODEL;
    *detail = ttzo_work_bytes(model);
    if (info->work_bytes != *detail)
        return TTZO_ERROR_WRONG_WORK_SIZE;
    return ttzo_check_settings(&model->training, model->phases, detail);
}
