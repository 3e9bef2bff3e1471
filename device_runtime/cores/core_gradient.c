// SPDX-License-Identifier: MIT
#include "cores/core_gradient.h"

#include "cores/block_gradient.h"
#include "cores/query_group.h"
#include "cores/unit_queries.h"
#include "network/layers.h"
#include "network/panels.h"
#include "number/random.h"
#include "number/real.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- cge: a query for each entry ------------------------------------------------------------------------------------

static bool wants_any(const struct ttzo_core_estimate *e, const struct ttzo_slice_quad *quad, uint32_t offset, uint32_t modes)
{
    for (uint32_t q = 0; q < quad->count; q++)
        for (uint32_t m = 0; m < modes; m++)
            if (ttzo_is_asked(&e->base.asked, offset + quad->at[q] + m * quad->m_stride))
                return true;
    return false;
}

// Every entry of these quads of slices: mode by mode, because those of one mode move the same units.
static void query_quads(struct ttzo_core_estimate *e, uint32_t l, const struct ttzo_slices *slices, const float *moves,
                        const struct ttzo_slice_quad *quads, uint32_t n)
{
    const struct ttzo_environment *environment = slices->environment;
    uint32_t modes = environment->core.m, mr = environment->mr;
    uint32_t offset = environment->cache->layer->parameter_offset;
    float *gradient = e->base.trainer->gradient, differences[TTZO_QUADS_AT_ONCE][Q];
    struct ttzo_query_group group = { .units = { l, 0, environment->ml, mr, modes * mr }, .moves = moves,
                           .size = Q * environment->ml * mr, .n = n, .slices = slices, .quads = quads,
                           .differences = differences };
    for (uint32_t i = 0; i < n; i++)
        group.bound = quads[i].largest > group.bound ? quads[i].largest : group.bound;
    for (uint32_t m = 0; m < modes; m++, group.units.first += mr) {
        ttzo_query_group_ask(&group, &e->queries, e->base.antithetic);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t q = 0; q < quads[i].count; q++) {
                uint32_t at = offset + quads[i].at[q] + m * quads[i].m_stride;
                if (ttzo_is_asked(&e->base.asked, at))
                    gradient[at] = gradient[at] + differences[i][q];
            }
    }
}

static enum ttzo_error query_core(struct ttzo_core_estimate *e, uint32_t l, uint32_t k, const struct ttzo_environment *environment)
{
    struct ttzo_slices_place place = ttzo_slices_place_of(&e->queries.scratch, &e->queries.cache, l, k);
    uint32_t slice_size = Q * environment->ml * environment->mr, n = 0;
    uint32_t offset = environment->cache->layer->parameter_offset;
    struct ttzo_slice_quad quads[TTZO_QUADS_AT_ONCE];
    struct ttzo_slices slices;
    ttzo_slices_begin(&slices, environment, e->base.phase->perturb_radius);
    for (bool more = true; more;) {
        more = ttzo_slices_next(&slices, &quads[n]);
        if (more && wants_any(e, &quads[n], offset, environment->core.m) &&
            ttzo_slices_make(&slices, &quads[n], place.at ? place.at + n * slice_size : e->queries.scratch.panels, &e->queries.scratch.macs))
            n++;
        if (n == place.quads || (!more && n > 0)) {
            query_quads(e, l, &slices, place.at, quads, n);
            n = 0;
            slices.packed &= !e->queries.cache.narrow; // queries take the panels' place
            enum ttzo_error error = ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs);
            if (error)
                return error;
        }
    }
    return TTZO_ERROR_OK;
}

// ---- a row -----------------------------------------------------------------------------------------------------------

static enum ttzo_error gradient_of_layer(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *cache = &e->queries.cache.layers[l];
    struct ttzo_environment environment = { 0 };
    enum ttzo_error error = TTZO_ERROR_OK;
    ttzo_unit_queries_ask(e, l);
    if (ttzo_is_node_cge(e) && cache->assembled != TTZO_BY_SLICES) {
        e->queries.scratch.macs += ttzo_sums_add(cache, e->queries.scratch.unit_changes, e->base.trainer->gradient + cache->layer->parameter_offset);
        return ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs);
    }
    for (uint32_t k = 0; k < ttzo_layer_length(cache->layer) && !error; k++) {
        ttzo_sample_cache_restore_inputs(&e->queries.cache, l, k);
        e->queries.scratch.macs += ttzo_environment_open(&environment, cache, k);
        if (ttzo_is_node_cge(e))
            ttzo_unit_queries_assemble(e, &environment);
        error = ttzo_is_node_cge(e) ? ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs)
                                    : query_core(e, l, k, &environment);
    }
    return error;
}

enum ttzo_error ttzo_core_gradient_of_row(struct ttzo_core_estimate *e)
{
    enum ttzo_error error = TTZO_ERROR_OK;
    e->block = 0;
    for (uint32_t l = 0; l < e->base.trainer->model->info.n_layers && !error; l++)
        error = ttzo_is_block_rge(e) ? ttzo_block_gradient(e, l) : gradient_of_layer(e, l);
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
    ttzo_propagate_begin(&e->queries, trainer->model, trainer->theta, trainer->cache_area, ttzo_is_node_cge(e));
    for (uint32_t l = 0; l < trainer->model->info.n_layers && ttzo_is_node_cge(e); l++)
        ttzo_sums_begin(&e->queries.cache.layers[l]);
}

static uint32_t number_of_blocks(const struct ttzo_model *model)
{
    uint32_t blocks = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        blocks += ttzo_layer_length(&model->layers[l]) + model->layers[l].has_bias;
    return blocks;
}

// Queries of the estimate: loss evaluations but for the one at theta and for their second sides.
static uint32_t number_of_queries(const struct ttzo_core_estimate *e)
{
    const struct ttzo_model *model = e->base.trainer->model;
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        units += model->layers[l].out_features;
    return ttzo_is_node_cge(e)    ? units
           : ttzo_is_block_rge(e) ? number_of_blocks(model) * e->base.phase->n_queries
                                    : e->base.asked.length;
}

uint32_t ttzo_core_gradient_end(struct ttzo_core_estimate *e, uint32_t *repeats)
{
    struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_model *model = trainer->model;
    for (uint32_t l = 0; l < model->info.n_layers && ttzo_is_node_cge(e); l++)
        trainer->macs += ttzo_sums_finish(&e->queries.cache.layers[l],
                                          trainer->gradient + model->layers[l].parameter_offset);
    *repeats = ttzo_is_block_rge(e) ? e->base.phase->n_queries : 1;
    return number_of_queries(e);
}
