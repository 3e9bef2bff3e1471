// SPDX-License-Identifier: MIT
#include "cores/unit_queries.h"

#include <float.h>

#include "network/layers.h"
#include "network/loss.h"
#include "network/panels.h"

#define Q TTZO_QUERIES_AT_ONCE

// Queries that move one unit of layer `l` by mu each, up to a quad; `above` and `below` are the changes of its activation
// when it moves up and down.
struct unit_queries {
    uint32_t l;
    bool ends;      // an output changes, and the loss is plain
    float *biases;  // derivatives of the layer's, or NULL
    float *changes; // node_cge: every unit's difference, or NULL
    uint16_t units[Q];
    float above[Q], below[Q];
};

// The loss differences of one side: of these changes of n units' activations.
static void ask_side(struct ttzo_core_estimate *e, const struct unit_queries *queries, uint32_t n, const float *changes,
                     float *differences)
{
    const struct ttzo_sample_cache *cache = &e->queries.cache;
    if (!queries->ends)
        ttzo_propagate_ask_units(&e->queries, queries->l, queries->units, changes, n, differences);
    for (uint32_t q = 0; q < n && queries->ends; q++)
        differences[q] =
            ttzo_loss_output_change(cache->model, cache->slopes, queries->units[q], changes[q], cache->target);
}

__attribute__((noinline)) static void ask_units(struct ttzo_core_estimate *e, struct unit_queries *queries, uint32_t n)
{
    float differences[Q], others[Q];
    for (uint32_t q = n; q < Q; q++) // the places after the last
        queries->units[q] = queries->units[0], queries->above[q] = queries->below[q] = 0.0f;
    ask_side(e, queries, n, queries->above, differences);
    if (e->base.antithetic) {
        ask_side(e, queries, n, queries->below, others);
        for (uint32_t q = 0; q < n; q++)
            differences[q] = differences[q] - others[q];
    }
    for (uint32_t q = 0; q < n && queries->changes; q++)
        queries->changes[queries->units[q]] = differences[q];
    for (uint32_t q = 0; q < n && queries->biases; q++)
        queries->biases[queries->units[q]] = queries->biases[queries->units[q]] + differences[q];
}

static void aim_at_layer(struct ttzo_core_estimate *e, struct unit_queries *queries, uint32_t l)
{
    const struct ttzo_layer *layer = e->queries.cache.layers[l].layer;
    queries->l = l;
    queries->ends = l + 1u == e->base.trainer->model->info.n_layers && ttzo_loss_is_plain(e->base.trainer->model);
    queries->changes = ttzo_goes_by_units(e) ? e->queries.scratch.unit_changes : NULL;
    queries->biases = NULL;
    if (layer->has_bias)
        queries->biases =
            e->base.trainer->gradient + layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features;
}

void ttzo_unit_queries_ask(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *cache = &e->queries.cache.layers[l];
    const enum ttzo_activation activation = (enum ttzo_activation)cache->layer->activation;
    const bool narrow = cache->has_narrow_z, antithetic = e->base.antithetic;
    const bool is_relu = activation == TTZO_ACTIVATION_RELU, is_identity = activation == TTZO_ACTIVATION_IDENTITY;
    const void *z_numbers = cache->z;
    float mu = e->base.phase->perturb_radius;
    float straight = is_identity ? -FLT_MAX : is_relu ? mu : FLT_MAX; // above it a unit moves as it is moved
    const bool asks_all = e->base.asked.length == e->base.trainer->model->info.n_parameters;
    struct unit_queries queries;
    uint32_t queried = 0;
    aim_at_layer(e, &queries, l);
    for (uint32_t unit = 0, n = cache->layer->out_features; unit < n; unit++) {
        float z = ttzo_load(z_numbers, unit, narrow), above = mu, below = -mu;
        if (queries.changes)
            queries.changes[unit] = 0.0f;
        else if (!queries.biases ||
                 (!asks_all &&
                  !ttzo_is_asked(&e->base.asked, (uint32_t)(queries.biases - e->base.trainer->gradient) + unit)))
            continue;
        if (!(z > straight)) {
            if (ttzo_propagate_sleeps(activation, z, mu))
                continue;
            above = ttzo_propagate_change(&e->queries, l, unit, mu);
            below = antithetic ? ttzo_propagate_change(&e->queries, l, unit, -mu) : 0.0f;
            if (above == 0.0f && below == 0.0f)
                continue;
        }
        queries.units[queried] = (uint16_t)unit, queries.above[queried] = above, queries.below[queried] = below;
        if (++queried == Q) {
            ask_units(e, &queries, Q);
            queried = 0;
        }
    }
    if (queried)
        ask_units(e, &queries, queried);
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
    uint32_t m_step = environment->core.n * environment->core.right;
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
                    float *at = gradient + quad.at[q] + (m + k) * m_step;
                    *at = *at + sums[q * Q + k];
                }
        }
        e->queries.scratch.macs += quad.count * modes * size;
    }
}
