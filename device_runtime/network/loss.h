// SPDX-License-Identifier: MIT
// Losses of one row.
#ifndef TTZO_LOSS_H
#define TTZO_LOSS_H
#include "model/model.h"
#include "network/moments.h"

// Classes that a target names: 1, or one for each place of a sequence; 0 where targets are float32 outputs.
uint32_t ttzo_loss_places(const struct ttzo_model *model);

// Classes that there are at each place; 0 where targets are float32 outputs.
uint32_t ttzo_loss_classes(const struct ttzo_model *model);

uint32_t ttzo_target_bytes(const struct ttzo_model *model);

// Whether the target names classes that the model has.
bool ttzo_target_is_sound(const struct ttzo_model *model, const uint8_t *target);

// Whether the numbers of the loss fit the model; they may not be checked yet.
bool ttzo_loss_is_sound(const struct ttzo_model *model);

// Loss of the network's outputs against the target at `target` (u16 classes, or float32 outputs). `outputs` is scratch
// afterwards.
float ttzo_row_loss(const struct ttzo_model *model, float *outputs, const uint8_t *target);

// Loss of the network's outputs; and in `slopes` [out_features] what its change for changed outputs depends on, for
// ttzo_loss_change: cross-entropy, the softmax of the outputs at each place; of one logit, the probability of the wrong
// class in slopes[0]; MSE, twice the errors; Huber, the errors. `scratch` [out_features].
float ttzo_loss_with_slopes(const struct ttzo_model *model, const float *outputs, const uint8_t *target, float *slopes,
                            float *scratch);

// Loss of outputs + changes less loss of outputs, without the cancellation of that difference: with the softmax p and
// the class y, log(sum_j p_j exp(d_j - d_y)) = log1p(sum_j p_j expm1(d_j - d_y)), and with errors e the mean of
// d_j (2 e_j + d_j).
float ttzo_loss_change(const struct ttzo_model *model, const float *slopes, const float *changes,
                       const uint8_t *target);

// The same for the first n of four queries side by side, changes[output]; after them any numbers may stand in
// `differences` [4]. `scratch` [out_features].
void ttzo_loss_changes(const struct ttzo_model *model, const float *slopes, const struct ttzo_quad *changes, uint32_t n,
                       const uint8_t *target, float *scratch, float differences[TTZO_QUERIES_AT_ONCE]);

// Whether the loss is a cross-entropy of one class without weights: for it alone are the next two.
static inline bool ttzo_loss_is_plain(const struct ttzo_model *model)
{
    return !TTZO_HAS_LOSSES || (model->info.loss == TTZO_LOSS_CROSS_ENTROPY && !model->loss.n_class_weights);
}

// The same of all queries of quads that begin `step` outputs apart, where these outputs change alone: `slopes` are theirs,
// number `own` of them is the class's; none is when there are no more than `own`.
void ttzo_loss_moved_changes(const float *slopes, const struct ttzo_quad *changes, uint32_t step, uint32_t n_quads,
                             uint32_t outputs, uint32_t own, float (*differences)[TTZO_QUERIES_AT_ONCE]);

// The same where one output changes.
float ttzo_loss_output_change(const struct ttzo_model *model, const float *slopes, uint32_t output, float change,
                              const uint8_t *target);

// The same for n changes of that output; `antithetic`: each less that of the opposite change.
void ttzo_loss_output_changes(const struct ttzo_model *model, const float *slopes, uint32_t output,
                              const float *changes, uint32_t n, const uint8_t *target, bool antithetic,
                              float *differences);

// Places of a row that count: 1, or those of a sequence that are no padding; 0 for losses without classes.
uint32_t ttzo_row_judged(const struct ttzo_model *model, const uint8_t *target);

// At how many of them the largest score (the first of equals) is that of the class.
uint32_t ttzo_row_hits(const struct ttzo_model *model, const float *outputs, const uint8_t *target);

#endif
