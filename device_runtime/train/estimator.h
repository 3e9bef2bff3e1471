// SPDX-License-Identifier: MIT
// Gradient estimates from losses alone: which direction next, and how to add up (paper eq. 2).
#ifndef TTZO_ESTIMATOR_H
#define TTZO_ESTIMATOR_H
#include "ttzo.h"

// Fills trainer->gradient from losses of the rows trainer->batch_rows of `rows` (NULL with a PDE); theta, moments and state stay as they
// are. `loss` is the mean loss at theta, `evaluations` the number of loss evaluations spent.
// Fails with `non_finite` at the first loss that is not a number, and with `cancelled`.
enum ttzo_error ttzo_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows, const struct ttzo_phase *phase,
                              float *loss, uint32_t *evaluations);

// Differences of random directions that the model's memory has room for: what it was exported with, and at least
// TTZO_MIN_QUERY_ROOM; 0 without such a phase.
uint32_t ttzo_difference_capacity(const struct ttzo_model *model);

// Numbers of memory that a phase's update rule and its estimator need for each parameter.
uint32_t ttzo_moments_per_parameter(const struct ttzo_phase *phase);

// cocd's memory [P], behind the moments of the phase's update rule: the last estimate.
float *ttzo_gradient_buffer(const struct ttzo_trainer *trainer, const struct ttzo_phase *phase);

#endif
