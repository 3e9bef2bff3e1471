// SPDX-License-Identifier: MIT
#include "cores/sample_cache.h"

#include "cores/environments.h"
#include "model/phase.h"
#include "network/loss.h"
#include "network/network.h"

// ---- which arrays a model needs -------------------------------------------------------------------------------------

bool ttzo_asks_entries(const struct ttzo_model *model)
{
    return ttzo_has_estimator(model, TTZO_ESTIMATOR_CGE) || ttzo_has_estimator(model, TTZO_ESTIMATOR_COCD) ||
           ttzo_has_estimator(model, TTZO_ESTIMATOR_BLOCK_RGE);
}

bool ttzo_asks_units(const struct ttzo_model *model)
{
    return TTZO_HAS(BLOCKS) && (ttzo_has_estimator(model, TTZO_ESTIMATOR_NODE_CGE) ||
                                ttzo_has_estimator(model, TTZO_ESTIMATOR_CHAIN_DIFFERENCES));
}

// A layer after another is made a matrix once a step when that is small; a dense one is a matrix already.
bool ttzo_makes_matrix(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    return l > 0 && ttzo_layer_length(layer) > 1 &&
           (uint32_t)layer->in_features * layer->out_features <= TTZO_MAX_MATRIX;
}

// How node_cge would take the layer: with narrow caches, as other estimators do.
enum ttzo_assembled ttzo_assembled_of(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    if (ttzo_keeps_narrow(model))
        return TTZO_BY_SLICES;
    return ttzo_assembled_by(layer, ttzo_layer_length(layer) == 1 || ttzo_makes_matrix(model, l));
}

bool ttzo_goes_by_matrix(const struct ttzo_model *model, uint32_t l)
{
    return l < model->info.n_layers && (ttzo_layer_length(&model->layers[l]) == 1 || ttzo_makes_matrix(model, l));
}

bool ttzo_wants_slices(const struct ttzo_model *model, uint32_t l)
{
    return ttzo_asks_entries(model) || (ttzo_asks_units(model) && ttzo_assembled_of(model, l) == TTZO_BY_SLICES);
}

// ---- places ---------------------------------------------------------------------------------------------------------

// An array of n numbers.
static void *take_array(struct ttzo_carve *carve, uint64_t n, bool narrow)
{
    return ttzo_take_even(carve, narrow ? (n + 1) / 2 : n);
}

// Whether the network's inputs lie among the first layer's states, and are read again when they are wanted.
static bool inputs_share(const struct ttzo_model *model)
{
    return ttzo_keeps_narrow(model) && ttzo_environment_sweeps(&model->layers[0]);
}

static uint64_t states_numbers(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    uint64_t states = ttzo_states_numbers(layer), shared;
    if (l > 0 || !inputs_share(model))
        return states;
    shared = ttzo_environment_input_place(layer) + 2u * (uint64_t)layer->in_features;
    return shared > states ? shared : states;
}

// With narrow caches hidden units are narrow too, and what a layer that sweeps reads of them is not kept.
static void carve_layer(struct ttzo_layer_cache *cache, const struct ttzo_model *model, uint32_t l,
                        struct ttzo_carve *carve)
{
    const struct ttzo_layer *layer = cache->layer;
    bool narrow = ttzo_keeps_narrow(model), last = l + 1u == model->info.n_layers;
    bool keeps_matrix = cache->has_matrix && model->info.cache != TTZO_CACHE_INT16_LEAST;
    cache->has_narrow_z = narrow && !last && ttzo_layer_length(layer) > 1;
    cache->z = take_array(carve, layer->out_features, cache->has_narrow_z);
    if (last || !narrow || !ttzo_environment_sweeps(layer + 1))
        cache->output = ttzo_take_even(carve, layer->out_features);
    cache->assembled = (uint8_t)ttzo_assembled_of(model, l);
    uint64_t states = ttzo_wants_slices(model, l) ? states_numbers(model, l) : 0;
    uint64_t sums = ttzo_asks_units(model) ? ttzo_sums_numbers(layer, ttzo_assembled_of(model, l)) : 0;
    cache->states.narrow = narrow;
    cache->states.numbers = take_array(carve, states > sums ? states : sums, narrow);
    cache->keeps_halves = (cache->has_matrix && !(narrow && keeps_matrix)) ||
                          (ttzo_asks_units(model) && cache->assembled == TTZO_BY_HALVES);
    cache->products = ttzo_take_even(carve, ttzo_products_numbers(layer, cache->keeps_halves));
    if (keeps_matrix)
        cache->matrix = take_array(carve, (uint64_t)layer->in_features * layer->out_features, narrow);
}

void ttzo_sample_cache_carve(struct ttzo_sample_cache *cache, const float *theta, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = cache->model;
    cache->inputs_share = inputs_share(model);
    cache->inputs = ttzo_take_even(carve, cache->inputs_share ? 0 : model->info.in_features);
    struct ttzo_array input = ttzo_array_of(cache->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        struct ttzo_layer_cache *at = &cache->layers[l];
        *at = (struct ttzo_layer_cache){ .layer = layer,
                                         .parameters = theta ? theta + layer->parameter_offset : NULL,
                                         .input = input,
                                         .has_matrix = ttzo_makes_matrix(model, l) };
        carve_layer(at, model, l, carve);
        input = ttzo_array_of(at->output);
        if (!at->output) {
            input = ttzo_layer_cache_z(at);
            input.activation = layer->activation;
        }
    }
    if (cache->inputs_share && carve->area) {
        cache->inputs = (float *)cache->layers[0].states.numbers + ttzo_environment_input_place(&model->layers[0]) / 2;
        cache->layers[0].input = ttzo_array_of(cache->inputs);
    }
    cache->slopes = ttzo_take_even(carve, model->info.out_features);
}

// ---- a step, a sample -----------------------------------------------------------------------------------------------

void ttzo_sample_cache_begin(struct ttzo_sample_cache *cache, uint64_t *macs)
{
    for (uint32_t l = 0; l < cache->model->info.n_layers; l++)
        *macs += ttzo_core_products_make(&cache->layers[l]);
}

// The layer's outputs from its pre-activations.
static void activate(const struct ttzo_layer_cache *cache)
{
    uint32_t n = cache->layer->out_features;
    const float *z = cache->z;
    if (cache->layer->activation == TTZO_ACTIVATION_RELU && !cache->has_narrow_z) {
        for (uint32_t i = 0; i < n; i++)
            cache->output[i] = z[i] < 0.0f ? 0.0f : z[i];
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        cache->output[i] = ttzo_load(cache->z, i, cache->has_narrow_z);
    ttzo_activate((enum ttzo_activation)cache->layer->activation, cache->output, n);
}

float ttzo_sample_cache_forward(struct ttzo_sample_cache *cache, const uint8_t *row, float *outputs, uint64_t *macs)
{
    const struct ttzo_model *model = cache->model;
    const float *last = cache->layers[model->info.n_layers - 1].output;
    cache->sample = row;
    ttzo_read_inputs(model, row, cache->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer_cache *at = &cache->layers[l];
        bool sums = TTZO_HAS(BLOCKS) && cache->assembles && at->assembled != TTZO_BY_SLICES;
        *macs += sums ? ttzo_sums_forward(at) : ttzo_environments_forward(at);
        if (at->output)
            activate(at);
    }
    cache->target = row + ttzo_input_bytes(model);
    return ttzo_loss_with_slopes(model, last, cache->target, cache->slopes, outputs);
}

void ttzo_sample_cache_restore_inputs(struct ttzo_sample_cache *cache, uint32_t l, uint32_t k)
{
    if (l == 0 && cache->inputs_share && ttzo_environment_sweep_begins(&cache->model->layers[0], k))
        ttzo_read_inputs(cache->model, cache->sample, cache->inputs);
}
