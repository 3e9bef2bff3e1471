// SPDX-License-Identifier: MIT
// How far a Gauss-Newton step may reasonably move a parameter: the unit in which it counts its unknowns.
#ifndef TTZO_SCALES_H
#define TTZO_SCALES_H
#include "model/model.h"

#define TTZO_BIAS_SCALE 0.1f
#define TTZO_OWN_SHARE 0.2f // so that a steep unit's large weights move as readily as a flat one's small ones

// The scale of parameter number `i` whose value is `theta`: of_core, or TTZO_BIAS_SCALE from number `bias` on, or a
// share of its own size where that is more.
static inline float ttzo_parameter_scale(uint32_t i, uint32_t bias, float of_core, float theta)
{
    float own = TTZO_OWN_SHARE * (theta < 0.0f ? -theta : theta), usual = i < bias ? of_core : TTZO_BIAS_SCALE;
    return usual < own ? own : usual;
}

// The parameters [first, end) that a layer, or another node of a graph, owns: from `bias` on at TTZO_BIAS_SCALE.
struct ttzo_scaled {
    uint32_t first, bias, end;
    float of_core;
};

// How many layers or nodes there are, and what number `index` owns; all that a node other than a layer does is at
// TTZO_BIAS_SCALE.
static inline uint32_t ttzo_scaled_count(const struct ttzo_model *model)
{
    return ttzo_is_graph(model) ? model->graph.info.n_nodes : model->info.n_layers;
}

struct ttzo_scaled ttzo_scaled_at(const struct ttzo_model *model, uint32_t index);

#endif
