// SPDX-License-Identifier: MIT
#include "cores/gathered_cache.h"

#include "cores/slices.h"
#include "network/gathered_layer.h"
#include "network/loss.h"
#include "network/network.h"

#if TTZO_HAS(GATHERED)

bool ttzo_gathered_makes_matrix(const struct ttzo_layer *layer, uint32_t l)
{
    return l > 0 && ttzo_layer_length(layer) > 1;
}

struct ttzo_operand ttzo_gathered_matrix(const struct ttzo_gathered_cache *cache, uint32_t l)
{
    const struct ttzo_layer *layer = &cache->model->layers[l];
    if (ttzo_gathered_makes_matrix(layer, l))
        return (struct ttzo_operand){ cache->layers[l].matrix, layer->out_features, 1 };
    return (struct ttzo_operand){ cache->theta + layer->parameter_offset, 1, layer->in_features };
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t token_numbers(const struct ttzo_layer *application)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(application); k++) {
        struct ttzo_core core = ttzo_layer_core(application, k);
        numbers += (uint64_t)core.left * core.m * core.n * core.right;
    }
    return numbers;
}

static void carve_layer(struct ttzo_gathered_cache *cache, uint32_t l, struct ttzo_carve *carve)
{
    const struct ttzo_layer *layer = &cache->model->layers[l], one = ttzo_gathered_application(layer);
    uint64_t outputs = ttzo_layer_outputs(layer), matrix = (uint64_t)layer->in_features * layer->out_features;
    bool has_matrix = ttzo_gathered_makes_matrix(layer, l), turned = ttzo_has_patches(layer) && l > 0 && !has_matrix;
    struct ttzo_gathered_layer_cache *at = &cache->layers[l];
    at->z = ttzo_take_even(carve, outputs);
    at->output = ttzo_take_even(carve, outputs);
    at->products = ttzo_take_even(carve, ttzo_products_numbers(&one, has_matrix));
    at->matrix = ttzo_take_even(carve, has_matrix ? matrix : 0);
    at->weights = ttzo_take_even(carve, turned ? matrix : 0);
    at->weights = has_matrix ? at->matrix : at->weights;
}

static void carve_application(struct ttzo_gathered_cache *cache, struct ttzo_carve *carve)
{
    uint64_t patch = 0, features = 0, token = 0, states = 0, panels = 0;
    for (uint32_t l = 0; l < cache->model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &cache->model->layers[l], one = ttzo_gathered_application(layer);
        patch = larger(patch, one.in_features);
        features = larger(features, one.out_features);
        states = larger(states, ttzo_states_numbers(&one));
        panels = larger(panels, larger(ttzo_environment_panels(&one), ttzo_slices_panels(&one)));
        if (ttzo_has_tokens(layer))
            token = token_numbers(&one);
    }
    cache->patch = ttzo_take_even(carve, patch);
    cache->z = ttzo_take_even(carve, features);
    cache->token_parameters = ttzo_take_even(carve, token);
    cache->states = ttzo_take_even(carve, states);
    cache->panels = ttzo_take_even(carve, panels);
}

void ttzo_gathered_cache_carve(struct ttzo_gathered_cache *cache, struct ttzo_carve *carve)
{
    const float *input = cache->inputs = ttzo_take_even(carve, cache->model->info.in_features);
    for (uint32_t l = 0; l < cache->model->info.n_layers; l++) {
        cache->layers[l].input = input;
        carve_layer(cache, l, carve);
        input = cache->layers[l].output;
    }
    cache->slopes = ttzo_take_even(carve, cache->model->info.out_features);
    carve_application(cache, carve);
}

// ---- one application of a layer -------------------------------------------------------------------------------------

static void use_layer(struct ttzo_gathered_cache *cache, uint32_t l)
{
    const struct ttzo_layer *layer = &cache->model->layers[l];
    const struct ttzo_gathered_layer_cache *at = &cache->layers[l];
    bool has_matrix = ttzo_gathered_makes_matrix(layer, l);
    cache->l = l;
    cache->application = ttzo_gathered_application(layer);
    cache->one = (struct ttzo_layer_cache){ .layer = &cache->application,
                                            .parameters = cache->theta + layer->parameter_offset,
                                            .input = ttzo_array_of(at->input),
                                            .z = cache->z,
                                            .states = { .numbers = cache->states },
                                            .panels = cache->panels,
                                            .products = at->products,
                                            .matrix = at->matrix,
                                            .has_matrix = has_matrix,
                                            .keeps_halves = has_matrix };
}

void ttzo_gathered_cache_turn_to(struct ttzo_gathered_cache *cache, uint32_t l, uint32_t position)
{
    const struct ttzo_layer *layer = &cache->model->layers[l];
    const float *input = cache->layers[l].input;
    if (cache->l != l || cache->one.z != cache->z) // else the position before was of this layer
        use_layer(cache, l);
    if (ttzo_has_patches(layer)) {
        ttzo_gathered_patch(layer, input, position, cache->patch, 1);
        cache->one.input = ttzo_array_of(cache->patch);
    } else if (TTZO_HAS(TENSORS) && ttzo_has_tokens(layer)) { // matrices of tokens need no application
        ttzo_gathered_token(layer, cache->theta + layer->parameter_offset, (uint32_t)input[position],
                            cache->token_parameters);
        cache->patch[0] = 1.0f;
        cache->one.input = ttzo_array_of(cache->patch);
        cache->one.parameters = cache->token_parameters;
        cache->macs += ttzo_core_products_make(&cache->one);
    }
    if (ttzo_layer_length(&cache->application) > 1)
        cache->macs += ttzo_environments_forward(&cache->one);
}

// ---- a step, a sample -----------------------------------------------------------------------------------------------

// [out_feature][in_feature] as [in_feature][out_feature]
static void lay_weights(float *out, const float *weights, const struct ttzo_layer *layer)
{
    for (uint32_t i = 0; i < layer->in_features; i++)
        for (uint32_t o = 0; o < layer->out_features; o++)
            *out++ = weights[o * layer->in_features + i];
}

void ttzo_gathered_cache_begin(struct ttzo_gathered_cache *cache, const float *theta)
{
    cache->theta = theta;
    for (uint32_t l = 0; l < cache->model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &cache->model->layers[l];
        if (ttzo_has_tokens(layer))
            continue;
        use_layer(cache, l);
        cache->macs += ttzo_core_products_make(&cache->one);
        if (ttzo_has_patches(layer) && l > 0 && !ttzo_gathered_makes_matrix(layer, l))
            lay_weights(cache->layers[l].weights, theta + layer->parameter_offset, layer);
    }
}

float ttzo_gathered_cache_forward(struct ttzo_gathered_cache *cache, const uint8_t *row, float *outputs)
{
    const struct ttzo_model *model = cache->model;
    const float *last = cache->layers[model->info.n_layers - 1u].output;
    ttzo_read_inputs(model, row, cache->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        const struct ttzo_gathered_layer_cache *at = &cache->layers[l];
        use_layer(cache, l);
        cache->one.z = at->z;
        if (layer->gather) {
            ttzo_gathered_forward(layer, cache->theta, at->input, at->z, cache->forward);
            cache->macs += ttzo_gathered_macs(layer);
        } else
            cache->macs += ttzo_environments_forward(&cache->one);
        uint32_t n = (uint32_t)ttzo_layer_outputs(layer);
        for (uint32_t i = 0; i < n; i++)
            at->output[i] = at->z[i];
        ttzo_activate((enum ttzo_activation)layer->activation, at->output, n);
    }
    cache->target = row + ttzo_input_bytes(model);
    return ttzo_loss_with_slopes(model, last, cache->target, cache->slopes, outputs);
}

#endif
