// SPDX-License-Identifier: MIT
#include "cores/core_gradient.h"

#include "cores/block_gradient.h"
#include "cores/chain_differences.h"
#include "cores/core_queries.h"
#include "cores/unit_queries.h"
#include "model/threads.h"
#include "network/layers.h"

// ---- a row ----------------------------------------------------------------------------------------------------------

static enum ttzo_error gradient_of_layer(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *cache = &e->queries.cache.layers[l];
    struct ttzo_environment environment = { 0 };
    enum ttzo_error error = TTZO_ERROR_OK;
    if (ttzo_is_chain_differences(e) && l + 1u < e->base.trainer->model->info.n_layers)
        ttzo_chain_differences_ask(e, l);
    else
        ttzo_unit_queries_ask(e, l);
    if (ttzo_goes_by_units(e) && cache->assembled != TTZO_BY_SLICES) {
        ttzo_enter_row_order(e->base.trainer);
        e->queries.scratch.macs += ttzo_sums_add(cache, e->queries.scratch.unit_changes,
                                                 e->base.trainer->gradient + cache->layer->parameter_offset);
        ttzo_leave_row_order(e->base.trainer);
        return ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs);
    }
    for (uint32_t k = 0; k < ttzo_layer_length(cache->layer) && !error; k++) {
        ttzo_sample_cache_restore_inputs(&e->queries.cache, l, k);
        e->queries.scratch.macs += ttzo_environment_open(&environment, cache, k);
        if (ttzo_goes_by_units(e))
            ttzo_unit_queries_assemble(e, &environment);
        error = ttzo_goes_by_units(e) ? ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs)
                                      : ttzo_core_queries_ask(e, l, k, &environment);
    }
    return error;
}

enum ttzo_error ttzo_core_gradient_of_row(struct ttzo_core_estimate *e)
{
    enum ttzo_error error = TTZO_ERROR_OK;
    e->block = 0;
    uint32_t n = e->base.trainer->model->info.n_layers;
    for (uint32_t i = 0; i < n && !error; i++) {
        uint32_t l = ttzo_is_chain_differences(e) ? n - 1u - i : i;
        error = ttzo_is_block_rge(e) ? ttzo_block_gradient(e, l) : gradient_of_layer(e, l);
    }
    e->base.done++;
    return error ? error : ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs);
}

float ttzo_core_gradient_forward(struct ttzo_core_estimate *e, const uint8_t *row)
{
    struct ttzo_query_scratch *scratch = &e->queries.scratch;
    return ttzo_sample_cache_forward(&e->queries.cache, row, scratch->arrivals, &scratch->macs);
}

// ---- a step ---------------------------------------------------------------------------------------------------------

void ttzo_core_gradient_begin(struct ttzo_core_estimate *e)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    ttzo_propagate_begin(&e->queries, trainer->model, trainer->theta, trainer->cache_area, ttzo_goes_by_units(e));
    for (uint32_t l = 0; l < trainer->model->info.n_layers && ttzo_goes_by_units(e); l++)
        ttzo_sums_begin(&e->queries.cache.layers[l]);
}

static uint32_t number_of_blocks(const struct ttzo_model *model)
{
    uint32_t blocks = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        blocks += ttzo_layer_length(&model->layers[l]) + model->layers[l].has_bias;
    return blocks;
}

// Queries of the estimate: loss evaluations, without the one at theta and without their second sides.
static uint32_t number_of_queries(const struct ttzo_core_estimate *e)
{
    const struct ttzo_model *model = e->base.trainer->model;
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        units += model->layers[l].out_features;
    return ttzo_goes_by_units(e)  ? units
           : ttzo_is_block_rge(e) ? number_of_blocks(model) * e->base.phase->n_queries
                                  : e->base.asked.length;
}

uint32_t ttzo_core_gradient_end(struct ttzo_core_estimate *e, uint32_t *repeats)
{
    struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_model *model = trainer->model;
    for (uint32_t l = 0; l < model->info.n_layers && ttzo_goes_by_units(e); l++)
        trainer->macs +=
            ttzo_sums_finish(&e->queries.cache.layers[l], trainer->gradient + model->layers[l].parameter_offset);
    *repeats = ttzo_is_block_rge(e) ? e->base.phase->n_queries : 1;
    return number_of_queries(e);
}
