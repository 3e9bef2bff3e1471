// SPDX-License-Identifier: MIT
// How a row's residual follows small changes of the network at its point: a linear functional of the outputs' jets.
#ifndef TTZO_ROW_SLOPES_H
#define TTZO_ROW_SLOPES_H
#include "equations/pde_rows.h"

// The numbers of a jet, one after the other: the value; first derivatives; second ones; derivatives along the section's
// directions, to the order of each.
struct ttzo_jet_shape {
    uint32_t n_first;  // 0, or one for each of ttzo_first_directions
    uint32_t n_second; // 0, or as many, or with `sums` 1: their weighted sum
    uint32_t n_along;
    bool sums;
    uint32_t width; // all of them
};

// The residual changes by the sum of coefficients[o][c] v[o][c] when the jets of the outputs change by v, and by
// unknowns[k] when number k of the unknown constants in theta does by 1.
struct ttzo_row_slopes {
    struct ttzo_jet_shape shape;
    float *coefficients; // [outputs][shape.width]
    float *weights;      // [n_first] of the second derivatives in their sum
    float *unknowns;
};

// Of rows with these needs.
struct ttzo_jet_shape ttzo_jet_shape(const struct ttzo_model *model, uint32_t needs);

// The largest width of all rows.
uint32_t ttzo_jet_width(const struct ttzo_model *model);

// The residual's share of the row's point, or of the opposite one (`side` 1), and its slopes: differences of mu times 1
// and the size of what moves. The point is moved there; `row` is one that begins here.
float ttzo_linearise(struct ttzo_trainer *trainer, const float *theta, const struct ttzo_pde_row *row, uint32_t side,
                     float mu, struct ttzo_row_slopes *slopes);

#endif
