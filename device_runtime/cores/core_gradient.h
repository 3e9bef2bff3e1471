// SPDX-License-Identifier: MIT
// Estimators that look at one core at a time and share its environments: cge, node_cge, block_rge, cocd.
#ifndef TTZO_CORE_GRADIENT_H
#define TTZO_CORE_GRADIENT_H
#include "cores/core_estimate.h"

// Once a step; the base is set.
void ttzo_core_gradient_begin(struct ttzo_core_estimate *e);

// A row's forward pass; returns its loss.
float ttzo_core_gradient_forward(struct ttzo_core_estimate *e, const uint8_t *row);

// The row's loss differences into the gradient. Fails with `cancelled`.
enum ttzo_error ttzo_core_gradient_of_row(struct ttzo_core_estimate *e);

// After the last row: returns the number of queries. `repeats`: of each coordinate.
uint32_t ttzo_core_gradient_end(struct ttzo_core_estimate *e, uint32_t *repeats);

#endif
