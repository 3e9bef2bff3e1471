// SPDX-License-Identifier: MIT
// Where the first layer takes its inputs through one core of small rank, a network depends on as many combinations of
// them alone: its derivatives along an orthonormal basis of what that core reads give all the others, and their second
// ones add up to the Laplacian.
#ifndef TTZO_COMPENSATED_BASIS_H
#define TTZO_COMPENSATED_BASIS_H
#include "model/model.h"

// Directions of the basis; 0 where that saves nothing. The model may not be checked yet.
uint32_t ttzo_basis_size(const struct ttzo_model *model);

// Writes the basis as compensated numbers, [size][n_space][2]; `merged` holds the first layer's merged cores. A
// direction that rounding alone would make is a basis' all the same, one of length zero counts for nothing.
void ttzo_basis_make(const struct ttzo_model *model, const float *theta, const float *merged, float *basis);

#endif
