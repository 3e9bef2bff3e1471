// SPDX-License-Identifier: MIT
// Losses of one row.
#ifndef TTZO_LOSS_H
#define TTZO_LOSS_H
#include "model/model.h"

// Loss of the network's outputs against the target at `target` (u16 class, or float32 outputs). `outputs` is scratch
// afterwards.
float ttzo_row_loss(const struct ttzo_model *model, float *outputs, const uint8_t *target);

// What the loss's change for changed outputs depends on, for ttzo_loss_changes: cross-entropy, the softmax of the
// outputs; MSE, twice their errors. [out_features]
void ttzo_loss_slopes(const struct ttzo_model *model, const float *outputs, const uint8_t *target, float *slopes);

// Loss of outputs + changes less loss of outputs, without the cancellation of that difference: with the softmax p and
// the class y, log(sum_j p_j exp(d_j - d_y)) = log1p(sum_j p_j expm1(d_j - d_y)), and with errors e the mean of
// d_j (2 e_j + d_j).
// For `n` rows of changes, `stride` apart.
void ttzo_loss_changes(const struct ttzo_model *model, const float *slopes, const float *changes, uint32_t stride,
                       uint32_t n, const uint8_t *target, float *differences);

// Whether the largest output (the first of equals) is the row's class; false for losses without classes.
bool ttzo_row_correct(const struct ttzo_model *model, const float *outputs, const uint8_t *target);

#endif
