// SPDX-License-Identifier: MIT
#include "cores/chain_differences.h"

#include "cores/aim.h"
#include "network/layers.h"
#include "number/real.h"

#if TTZO_HAS(CHAIN)

void ttzo_chain_differences_ask(struct ttzo_core_estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = e->queries.cache.layers[l].layer;
    float *units = e->queries.scratch.unit_changes, *after = e->queries.scratch.arrivals;
    uint32_t outputs = layer[1].out_features;
    float mu = e->base.phase->perturb_radius, scale = 1.0f / (e->base.antithetic ? 2.0f * mu : mu);
    float *bias = e->base.trainer->gradient + layer->parameter_offset + ttzo_layer_parameters(layer);
    for (uint32_t j = 0; j < outputs; j++)
        after[j] = units[j];
    for (uint32_t unit = 0; unit < layer->out_features; unit++) {
        float change = ttzo_propagate_change(&e->queries, l, unit, mu), sum = 0.0f;
        if (e->base.antithetic)
            change = change - ttzo_propagate_change(&e->queries, l, unit, -mu);
        units[unit] = 0.0f;
        if (change == 0.0f)
            continue;
        const float *weights = ttzo_propagate_weights(&e->queries, l + 1, unit);
        for (uint32_t j = 0; j < outputs; j++)
            sum = TTZO_MULADD(weights[j], after[j], sum);
        units[unit] = change * scale * sum;
        e->queries.scratch.macs += outputs;
    }
    for (uint32_t unit = 0; unit < layer->out_features && layer->has_bias; unit++) {
        float *at = bias - layer->out_features + unit;
        *at = *at + units[unit];
    }
}

#endif
