// SPDX-License-Identifier: MIT
#include "cores/block_gradient.h"

#include "cores/query_group.h"
#include "network/layers.h"
#include "number/random.h"
#include "number/real.h"

#define Q TTZO_QUERIES_AT_ONCE

// moves [ml][m][mr][4] of query q += one slice [ml][mr], of four side by side, times the direction's entries
// (a, :, n, b), `entries` with stride.
static void add_slice(float *moves, const float *slice, const float *entries, uint32_t stride,
                      const struct ttzo_environment *environment)
{
    uint32_t m = environment->core.m, mr = environment->mr;
    for (uint32_t i = 0; i < environment->ml; i++, slice += Q * mr)
        for (uint32_t j = 0; j < m; j++, moves += Q * mr)
            for (uint32_t u = 0; u < mr; u++)
                moves[Q * u] = TTZO_MULADD(entries[j * stride], slice[Q * u], moves[Q * u]);
}

// Moves of query q += direction[q] times mu times every slice of the core, in the order of ttzo_slices_next.
static void add_moves(struct ttzo_core_estimate *e, const struct ttzo_environment *environment, uint32_t block_size,
                      uint32_t n)
{
    struct ttzo_slices slices;
    struct ttzo_slice_quad quad;
    ttzo_slices_begin(&slices, environment, e->base.phase->perturb_radius);
    while (ttzo_slices_next(&slices, &quad)) {
        if (!ttzo_slices_make(&slices, &quad, e->queries.scratch.slices, &e->queries.scratch.macs))
            continue;
        for (uint32_t s = 0; s < quad.count; s++)
            for (uint32_t q = 0; q < n; q++)
                add_slice(e->queries.scratch.moves + q, e->queries.scratch.slices + s,
                          e->queries.scratch.directions + q * block_size + quad.at[s] - environment->core.offset,
                          environment->core.n * environment->core.right, environment);
        e->queries.scratch.macs += (uint64_t)quad.count * n * environment->cache->layer->out_features;
    }
}

// Returns the largest move.
static float set_moves(struct ttzo_core_estimate *e, uint32_t l, const struct ttzo_environment *environment,
                       uint32_t size, uint32_t n)
{
    uint32_t out_features = e->queries.cache.layers[l].layer->out_features;
    float *moves = e->queries.scratch.moves, mu = e->base.phase->perturb_radius, bound = 0.0f;
    for (uint32_t i = 0; i < out_features; i++)
        for (uint32_t q = 0; q < Q; q++)
            moves[i * Q + q] = environment || q >= n ? 0.0f : mu * e->queries.scratch.directions[q * size + i];
    if (environment)
        add_moves(e, environment, size, n);
    for (uint32_t i = 0; i < Q * out_features; i++) {
        bound = moves[i] > bound ? moves[i] : bound;
        bound = -moves[i] > bound ? -moves[i] : bound;
    }
    return bound;
}

// One block of layer l: a core (with its open environment), or the bias (without).
static enum ttzo_error gradient_of_block(struct ttzo_core_estimate *e, uint32_t l,
                                         const struct ttzo_environment *environment, uint32_t offset, uint32_t size)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    enum ttzo_direction kind = (enum ttzo_direction)e->base.phase->direction;
    uint32_t total = e->base.phase->n_queries;
    float *gradient = trainer->gradient + offset;
    for (uint32_t first = 0; first < total; first += Q) {
        uint32_t n = total - first < Q ? total - first : Q, number = e->block * total + first;
        for (uint32_t i = 0; i < n * size; i++)
            e->queries.scratch.directions[i] = 0.0f;
        for (uint32_t q = 0; q < n; q++)
            ttzo_direction_add(e->queries.scratch.directions + q * size, e->queries.scratch.directions + q * size, 1.0f,
                               size, kind, trainer->training.seed, trainer->state.step, number + q);
        float bound = set_moves(e, l, environment, size, n);
        struct ttzo_slice_quad quad = { .count = n };
        float differences[1][Q];
        struct ttzo_query_group group = { .units = { l, 0, 1, e->queries.cache.layers[l].layer->out_features, 0 },
                                          .bound = bound,
                                          .moves = e->queries.scratch.moves,
                                          .n = 1,
                                          .n_queries = n,
                                          .quads = &quad,
                                          .differences = differences };
        ttzo_query_group_ask(&group, &e->queries, e->base.antithetic);
        for (uint32_t q = 0; q < n; q++)
            for (uint32_t i = 0; i < size; i++)
                gradient[i] = TTZO_MULADD(differences[0][q], e->queries.scratch.directions[q * size + i], gradient[i]);
        enum ttzo_error error = ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs);
        if (error)
            return error;
    }
    e->block++;
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_block_gradient(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *cache = &e->queries.cache.layers[l];
    const struct ttzo_layer *layer = cache->layer;
    struct ttzo_environment environment = { 0 };
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_core core = ttzo_layer_core(layer, k);
        ttzo_sample_cache_restore_inputs(&e->queries.cache, l, k);
        e->queries.scratch.macs += ttzo_environment_open(&environment, cache, k);
        enum ttzo_error error = gradient_of_block(e, l, &environment, layer->parameter_offset + core.offset,
                                                  core.left * core.m * core.n * core.right);
        if (error)
            return error;
    }
    if (!layer->has_bias)
        return TTZO_ERROR_OK;
    return gradient_of_block(e, l, NULL, layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features,
                             layer->out_features);
}
