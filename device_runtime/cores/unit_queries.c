// SPDX-License-Identifier: MIT
#include "cores/unit_queries.h"

#include "network/layers.h"
#include "network/panels.h"

#define Q TTZO_QUERIES_AT_ONCE

// Queries that move one unit of layer `l` by mu each, until there are quad; `above` and `below` are the changes of its
// activation when it moves up and down.
struct unit_queries {
    uint32_t l, n;
    uint32_t bias; // the coordinate of unit 0
    uint16_t units[Q];
    float above[Q], below[Q];
};

static void ask_units(struct ttzo_core_estimate *e, struct unit_queries *queries)
{
    float above[Q], below[Q] = { 0.0f };
    bool has_bias = e->queries.cache.layers[queries->l].layer->has_bias;
    if (queries->n == 0)
        return;
    ttzo_propagate_ask_units(&e->queries, queries->l, queries->units, queries->above, queries->n, above);
    if (e->base.antithetic)
        ttzo_propagate_ask_units(&e->queries, queries->l, queries->units, queries->below, queries->n, below);
    for (uint32_t q = 0; q < queries->n; q++) {
        uint32_t bias = queries->bias + queries->units[q];
        float difference = above[q] - below[q];
        if (ttzo_is_node_cge(e))
            e->queries.scratch.unit_changes[queries->units[q]] = difference;
        if (has_bias && ttzo_is_asked(&e->base.asked, bias))
            e->base.trainer->gradient[bias] = e->base.trainer->gradient[bias] + difference;
    }
    queries->n = 0;
}

void ttzo_unit_queries_ask(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *cache = &e->queries.cache.layers[l];
    const struct ttzo_layer *layer = cache->layer;
    enum ttzo_activation activation = (enum ttzo_activation)layer->activation;
    bool keeps = ttzo_is_node_cge(e);
    float mu = e->base.phase->perturb_radius;
    struct unit_queries queries = { .l = l,
                                    .bias =
                                        layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features };
    for (uint32_t unit = 0; unit < layer->out_features; unit++) {
        if (keeps)
            e->queries.scratch.unit_changes[unit] = 0.0f;
        if (ttzo_propagate_sleeps(activation, ttzo_load(cache->z, unit, cache->has_narrow_z), mu) ||
            (!keeps && !(layer->has_bias && ttzo_is_asked(&e->base.asked, queries.bias + unit))))
            continue;
        float above = ttzo_propagate_change(&e->queries, l, unit, mu);
        float below = e->base.antithetic ? ttzo_propagate_change(&e->queries, l, unit, -mu) : 0.0f;
        if (above == 0.0f && below == 0.0f)
            continue;
        queries.units[queries.n] = (uint16_t)unit;
        queries.above[queries.n] = above;
        queries.below[queries.n++] = below;
        if (queries.n == Q)
            ask_units(e, &queries);
    }
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
