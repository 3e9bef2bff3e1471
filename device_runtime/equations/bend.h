// SPDX-License-Identifier: MIT
// Activations with their derivatives, and how derivatives along a direction pass them.
#ifndef TTZO_BEND_H
#define TTZO_BEND_H
#include "model/model.h"
#include "number/real.h"

// phi(z) and its derivatives.
struct ttzo_bent {
    float value, slope, curvature;
};

struct ttzo_bent ttzo_bend(enum ttzo_activation activation, float z);

// phi'''(z); of relu 0 wherever it exists.
static inline float ttzo_third_derivative(enum ttzo_activation activation, float value, float slope)
{
    if (activation == TTZO_ACTIVATION_TANH)
        return slope * TTZO_MULADD(4.0f * value, value, -2.0f * slope);
    return activation == TTZO_ACTIVATION_SINE ? -slope : 0.0f;
}

// The first `order` derivatives along one direction pass a unit; `out` may be `z`.
static inline void ttzo_bend_along(uint32_t order, const struct ttzo_bent *of, float third, const float *z, float *out)
{
    float one = z[0], square = one * one;
    if (order > 2) {
        float mixed = TTZO_MULADD(3.0f * of->curvature, one * z[1], of->slope * z[2]);
        out[2] = TTZO_MULADD(third, square * one, mixed);
    }
    if (order > 1)
        out[1] = TTZO_MULADD(of->curvature, square, of->slope * z[1]);
    out[0] = of->slope * one;
}

#endif
