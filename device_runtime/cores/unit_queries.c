// SPDX-License-Identifier: MIT
#include "cores/unit_queries.h"

#include "network/layers.h"
#include "network/loss.h"
#include "network/panels.h"

#define Q TTZO_QUERIES_AT_ONCE

// Queries that move one unit of layer `l` by mu each, until there are quad; `above` and `below` are the changes of its
// activation when it moves up and down.
struct unit_queries {
    uint32_t l, n;
    enum { BY_PROPAGATION, BY_ROWS, BY_OUTPUT } way;
    struct ttzo_rows_after rows; // by rows
    float *biases;               // derivatives of the layer's, or NULL
    float *changes;              // node_cge: every unit's difference, or NULL
    uint32_t units[Q];
    float above[Q], below[Q];
};

// The loss differences of one side: of these changes of the units' activations.
static void ask_side(struct ttzo_core_estimate *e, const struct unit_queries *queries, const float *changes,
                     float *differences)
{
    const struct ttzo_sample_cache *cache = &e->queries.cache;
    const uint32_t *units = queries->units;
    uint32_t row = queries->rows.row;
    uint16_t short_units[Q];
    if (queries->way == BY_ROWS) {
        const float *at = queries->rows.at,
                    *rows[Q] = { at + units[0] * row, at + units[1] * row, at + units[2] * row, at + units[3] * row };
        ttzo_loss_scaled_changes(cache->model, cache->slopes, rows, queries->rows.step, changes, cache->target,
                                 differences);
        e->queries.scratch.macs += queries->n * cache->model->info.out_features;
        return;
    }
    if (queries->way == BY_OUTPUT) {
        for (uint32_t q = 0; q < queries->n; q++)
            differences[q] = ttzo_loss_output_change(cache->model, cache->slopes, units[q], changes[q], cache->target);
        return;
    }
    for (uint32_t q = 0; q < Q; q++)
        short_units[q] = (uint16_t)units[q];
    ttzo_propagate_ask_units(&e->queries, queries->l, short_units, changes, queries->n, differences);
}

static void ask_units(struct ttzo_core_estimate *e, struct unit_queries *queries)
{
    float above[Q], below[Q] = { 0.0f };
    ask_side(e, queries, queries->above, above);
    if (e->base.antithetic)
        ask_side(e, queries, queries->below, below);
    for (uint32_t q = 0; q < queries->n; q++) {
        uint32_t unit = queries->units[q];
        float difference = above[q] - below[q];
        if (queries->changes)
            queries->changes[unit] = difference;
        if (queries->biases)
            queries->biases[unit] = queries->biases[unit] + difference;
    }
    queries->n = 0;
}

// Asks about a unit when there are four; `above` and `below`: what its activation changes by when it moves by mu and -mu.
static inline void add_unit(struct ttzo_core_estimate *e, struct unit_queries *queries, uint32_t unit, float above,
                            float below)
{
    queries->units[queries->n] = unit;
    queries->above[queries->n] = above;
    queries->below[queries->n++] = below;
    if (queries->n == Q)
        ask_units(e, queries);
}

// A unit whose activation is not linear over the move, if a move changes it.
static void add_bent_unit(struct ttzo_core_estimate *e, struct unit_queries *queries, uint32_t unit, float mu)
{
    float above = ttzo_propagate_change(&e->queries, queries->l, unit, mu);
    float below = e->base.antithetic ? ttzo_propagate_change(&e->queries, queries->l, unit, -mu) : 0.0f;
    if (above != 0.0f || below != 0.0f)
        add_unit(e, queries, unit, above, below);
}

void ttzo_unit_queries_ask(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *cache = &e->queries.cache.layers[l];
    const struct ttzo_layer *layer = cache->layer;
    uint32_t bias = layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features;
    float mu = e->base.phase->perturb_radius;
    const enum ttzo_activation activation = (enum ttzo_activation)layer->activation;
    const void *z_numbers = cache->z;
    const bool narrow = cache->has_narrow_z;
    const bool is_relu = activation == TTZO_ACTIVATION_RELU, is_identity = activation == TTZO_ACTIVATION_IDENTITY;
    struct unit_queries queries = { .l = l };
    if (ttzo_propagate_rows_after(&e->queries, l, &queries.rows))
        queries.way = BY_ROWS;
    else if (l + 1u == e->base.trainer->model->info.n_layers && ttzo_loss_is_plain(e->base.trainer->model))
        queries.way = BY_OUTPUT;
    if (ttzo_is_node_cge(e))
        queries.changes = e->queries.scratch.unit_changes;
    if (layer->has_bias)
        queries.biases = e->base.trainer->gradient + bias;
    for (uint32_t unit = 0, n = layer->out_features; unit < n; unit++) {
        float z = ttzo_load(z_numbers, unit, narrow);
        if (queries.changes)
            queries.changes[unit] = 0.0f;
        else if (!queries.biases || !ttzo_is_asked(&e->base.asked, bias + unit))
            continue;
        if (is_identity || (is_relu && z > mu))
            add_unit(e, &queries, unit, mu, -mu);
        else if (!ttzo_propagate_sleeps(activation, z, mu))
            add_bent_unit(e, &queries, unit, mu);
    }
    for (uint32_t q = queries.n; q > 0 && q < Q; q++) // the places after the last
        queries.units[q] = queries.units[0], queries.above[q] = queries.below[q] = 0.0f;
    if (queries.n)
        ask_units(e, &queries);
}

// The units' differences as panels [m / 4][ml, mr][4]; the last mode again where there is none.
static void pack_units(struct ttzo_core_estimate *e, const struct ttzo_environment *environment)
{
    uint32_t modes = environment->core.m, mr = environment->mr;
    float *out = e->queries.scratch.unit_panels;
    for (uint32_t m = 0; m < modes; m += 4) {
        uint32_t last = modes - m - 1;
        uint32_t second = last < 1 ? 0 : mr, third = last < 2 ? 0 : 2 * mr, fourth = last < 3 ? 0 : 3 * mr;
        const float *in = e->queries.scratch.unit_changes + m * mr;
        for (uint32_t i = 0; i < environment->ml; i++, in += (modes - 1) * mr)
            for (uint32_t j = 0; j < mr; j++, in++, out += 4)
                out[0] = in[0], out[1] = in[second], out[2] = in[third], out[3] = in[fourth];
    }
}

void ttzo_unit_queries_assemble(struct ttzo_core_estimate *e, const struct ttzo_environment *environment)
{
    uint32_t modes = environment->core.m, size = environment->ml * environment->mr;
    float *gradient = e->base.trainer->gradient + environment->cache->layer->parameter_offset, sums[Q * Q];
    struct ttzo_slices slices;
    struct ttzo_slice_quad quad;
    pack_units(e, environment);
    ttzo_slices_begin(&slices, environment, 1.0f);
    while (ttzo_slices_next(&slices, &quad)) {
        if (!ttzo_slices_make(&slices, &quad, e->queries.scratch.slices, &e->queries.scratch.macs))
            continue;
        for (uint32_t m = 0; m < modes; m += 4) {
            ttzo_multiply_panels(sums, Q, NULL, e->queries.scratch.slices, e->queries.scratch.unit_panels + m * size, Q,
                                 size, Q);
            for (uint32_t q = 0; q < quad.count; q++)
                for (uint32_t k = 0; k < 4 && m + k < modes; k++) {
                    float *at = gradient + quad.at[q] + (m + k) * quad.m_stride;
                    *at = *at + sums[q * Q + k];
                }
        }
        e->queries.scratch.macs += quad.count * modes * size;
    }
}
