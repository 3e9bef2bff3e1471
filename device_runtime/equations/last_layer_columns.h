// SPDX-License-Identifier: MIT
// How a row's residual follows the last layer: the derivatives of that layer's inputs are made once.
#ifndef TTZO_LAST_LAYER_COLUMNS_H
#define TTZO_LAST_LAYER_COLUMNS_H
#include "model/trainer.h"

// The residual of training row `row`, put together from the last layer's inputs, and its derivatives by that layer's
// weights and bias (by differences of mu in each) into `gradient`. Costs one derivation and a run of the program for each.
float ttzo_last_layer_columns(struct ttzo_trainer *trainer, const float *theta, uint32_t row, float mu,
                              float *gradient);

#endif
