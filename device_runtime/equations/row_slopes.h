// SPDX-License-Identifier: MIT
// How a row's residual follows small changes of the network at its point: a linear functional of their value, first
// and second derivatives; and units, which changes pass.
#ifndef TTZO_ROW_SLOPES_H
#define TTZO_ROW_SLOPES_H
#include "model/model.h"

// The residual changes by value v + sum_k first[k] v_k + sum_k second[k] v_kk when the network changes by v, whose
// derivatives are those along the jets' directions. Without derivatives only `value` counts.
struct ttzo_row_slopes {
    float value;
    float *first, *second; // [ttzo_first_directions]
    bool has_derivatives;
};

// phi(z) and its two derivatives.
struct ttzo_bent {
    float value, slope, curvature;
};

struct ttzo_bent ttzo_bend(enum ttzo_activation activation, float z);

#endif
