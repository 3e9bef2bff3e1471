// SPDX-License-Identifier: MIT
// Every number of a model is checked here once, when it is loaded; later code relies on it.
#include "cores/gathered_gradient.h"
#include "cores/row_estimate.h"
#include "cores/sample_cache.h"
#include "equations/gauss_newton.h"
#include "equations/graph_jets.h"
#include "equations/pde_bundle.h"
#include "identification/simulation.h"
#include "model/needed_parts.h"
#include "model/phase.h"
#include "network/check_layer.h"
#include "network/gathered_layer.h"
#include "network/layers.h"
#include "network/loss.h"
#include "network/merged_layer.h"
#include "network/packed_rows.h"
#include "network/split_layer.h"
#include "network/vary_row.h"
#include "number/real.h"
#include "operations/graph.h"
#include "train/settings.h"
#include "ttzo.h"

// What the rooms of chains know: no places, no groups, no dilation, the same border on both sides.
static bool is_plain(const struct ttzo_layer *layer)
{
    return layer->gather == TTZO_GATHER_WHOLE || layer->gather == TTZO_GATHER_TOKENS ||
           (layer->gather == TTZO_GATHER_PATCHES && layer->groups == 1 && layer->dilation_height == 1 &&
            layer->dilation_width == 1 && layer->padding_bottom == layer->padding_height &&
            layer->padding_right == layer->padding_width);
}

// Whether the layers with their cores merged stay within the limits too.
static bool merged_layers_are_sound(const struct ttzo_model *model)
{
    uint64_t numbers = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        struct ttzo_layer merged = ttzo_merged_layer(layer);
        if (!ttzo_layer_width_is_sound(&merged))
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
        if (!ttzo_layer_is_sound(layer) || !is_plain(layer) || ttzo_layer_inputs(layer) != features ||
            layer->parameter_offset != parameters)
            return false;
        parameters += ttzo_layer_parameters(layer);
        features = (uint32_t)ttzo_layer_outputs(layer);
        if (parameters > info->n_parameters)
            return false;
    }
    uint32_t unknowns = ttzo_has_equation(model) ? model->pde.info.n_unknowns : 0;
    return parameters + unknowns == info->n_parameters && features == info->out_features;
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

// What derivatives go through: jets through convolutions with dense kernels.
static bool walks_gathered_layers(const struct ttzo_model *model)
{
    uint32_t derivative = model->pde.info.derivative;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        if (ttzo_is_gathered(layer) &&
            (layer->gather != TTZO_GATHER_PATCHES || layer->kind != TTZO_LAYER_KIND_DENSE ||
             (derivative != TTZO_DERIVATIVE_JET && derivative != TTZO_DERIVATIVE_SAMPLED_JET) ||
             ttzo_has_estimator(model, TTZO_ESTIMATOR_COORDINATE_GN)))
            return false;
    }
    return true;
}

// chain_differences takes each layer after the first as a matrix.
static bool chain_is_sound(const struct ttzo_model *model, uint32_t *detail)
{
    if (!TTZO_HAS(CHAIN) || !TTZO_HAS(CORES) || !ttzo_has_estimator(model, TTZO_ESTIMATOR_CHAIN_DIFFERENCES))
        return true;
    for (uint32_t l = 1; l < model->info.n_layers; l++) {
        *detail = l;
        if (!ttzo_goes_by_matrix(model, l))
            return false;
    }
    return true;
}

// Graphs are trained by whole losses or residuals, or by what a change of a row reaches; nothing of them is kept in 16 bits.
static bool graph_is_sound(const struct ttzo_model *model, uint32_t *detail)
{
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++) {
        uint8_t estimator = model->phases[p].estimator;
        if (estimator == TTZO_ESTIMATOR_CHAIN_DIFFERENCES || estimator == TTZO_ESTIMATOR_LAST_LAYER_GN ||
            estimator == TTZO_ESTIMATOR_FROZEN_FEATURES)
            return false;
    }
    return model->info.cache == TTZO_CACHE_FLOAT32 && ttzo_graph_is_sound(model, detail) &&
           ttzo_graph_scratch(&model->graph) <= TTZO_MAX_WIDTH &&
           (!ttzo_has_equation(model) || ttzo_graph_suits_equation(model));
}

// Numbers that mean something alone, as those of tokens and of a log do, are neither varied nor normalised.
static bool row_section_is_sound(const struct ttzo_model *model)
{
    uint32_t columns = ttzo_reading_columns(model);
    bool changes = model->rows.channels != 0 || columns != 0;
    if (ttzo_needs_no_rows(model) || ttzo_has_simulation(model) || (changes && ttzo_known_tokens(model) != 0) ||
        (columns != 0 && model->info.in_features % columns != 0) || model->rows.packing > 1 ||
        (model->rows.packing && !ttzo_packing_is_sound(model->packing)))
        return false;
    for (uint32_t i = 0; i < 3 * columns; i++)
        if (!ttzo_is_finite(model->columns[i]))
            return false;
    return !ttzo_varies_rows(model) || ttzo_row_info_is_sound(model);
}

// What a black box can be trained by.
static bool asks_whole_losses(const struct ttzo_model *model)
{
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        if (model->phases[p].estimator != TTZO_ESTIMATOR_RGE &&
            model->phases[p].estimator != TTZO_ESTIMATOR_CGE_PLAIN &&
            model->phases[p].estimator != TTZO_ESTIMATOR_SUBSPACE_GN)
            return false;
    return true;
}

enum ttzo_error ttzo_check_model(const struct ttzo_model *model, uint32_t *detail)
{
    const struct ttzo_model_info *info = &model->info;
    // derivatives walk the layers core by core
    const uint32_t walked_otherwise = TTZO_PART_CORES | TTZO_PART_SPLIT;
    *detail = info->n_layers;
    const bool has_layers = !ttzo_is_graph(model) && !ttzo_has_simulation(model) && !ttzo_has_black_box(model);
    if ((info->n_layers > 0) != has_layers || info->n_layers > TTZO_MAX_LAYERS ||
        info->n_parameters > TTZO_MAX_PARAMETERS || info->batch < 1 || info->batch > TTZO_MAX_BATCH ||
        info->input_number > TTZO_NUMBER_FLOAT32 || info->loss > TTZO_LOSS_SIMULATION || !ttzo_loss_is_sound(model) ||
        !ttzo_is_finite(info->input_scale) || !ttzo_is_finite(info->input_offset))
        return TTZO_ERROR_BAD_MODEL;
    if (has_layers &&
        (!layers_are_sound(model, detail) || !gathers_are_sound(model, detail) || !chain_is_sound(model, detail)))
        return TTZO_ERROR_BAD_MODEL;
    if (ttzo_is_graph(model) && !graph_is_sound(model, detail))
        return TTZO_ERROR_BAD_MODEL;
    if (ttzo_has_black_box(model) && !asks_whole_losses(model))
        return TTZO_ERROR_BAD_MODEL;
    if (ttzo_has_simulation(model) ? !ttzo_simulation_is_sound(model)
                                   : ttzo_has_estimator(model, TTZO_ESTIMATOR_SIMULATION_GN))
        return TTZO_ERROR_BAD_MODEL;
    *detail = info->n_layers;
    if (ttzo_has_equation(model) &&
        ((ttzo_needed_parts(model) & walked_otherwise) || !walks_gathered_layers(model) ||
         !merged_layers_are_sound(model) || info->input_number != TTZO_NUMBER_FLOAT32 ||
         !ttzo_pde_is_sound(&model->pde, info->in_features, info->out_features, info->batch)))
        return TTZO_ERROR_BAD_MODEL;
    if (info->has_row_section && !row_section_is_sound(model))
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
