// SPDX-License-Identifier: MIT
// Losses of one row.
#ifndef TTZO_LOSS_H
#define TTZO_LOSS_H
#include "ttzo.h"

// Loss of the network's outputs against the target at `target` (u16 class, or float32 outputs). `outputs` is scratch
// afterwards.
float ttzo_row_loss(const struct ttzo_model *model, float *outputs, const uint8_t *target);

// Whether the largest output (the first of equals) is the row's class; false for losses without classes.
bool ttzo_row_correct(const struct ttzo_model *model, const float *outputs, const uint8_t *target);

// False for NaN and infinities.
bool ttzo_is_finite(float x);

#endif
