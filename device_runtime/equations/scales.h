// SPDX-License-Identifier: MIT
// How far a Gauss-Newton step may reasonably move a parameter: the unit in which it counts its unknowns.
#ifndef TTZO_SCALES_H
#define TTZO_SCALES_H
#include "model/model.h"

#define TTZO_BIAS_SCALE 0.1f
#define TTZO_OWN_SHARE 0.2f // so that a steep unit's large weights move as readily as a flat one's small ones

// Standard deviation of a layer's cores at the start, so that W has Xavier's.
float ttzo_core_scale(const struct ttzo_layer *layer);

// The scale of parameter number `i` whose value is `theta`: of_core, or TTZO_BIAS_SCALE from number `bias` on, or a
// share of its own size where that is more.
static inline float ttzo_parameter_scale(uint32_t i, uint32_t bias, float of_core, float theta)
{
    float own = TTZO_OWN_SHARE * (theta < 0.0f ? -theta : theta), usual = i < bias ? of_core : TTZO_BIAS_SCALE;
    return usual < own ? own : usual;
}

#endif
