// SPDX-License-Identifier: MIT
// Gradient estimates from losses alone: which direction next, and how to add up (paper eq. 2).
#ifndef TTZO_ESTIMATOR_H
#define TTZO_ESTIMATOR_H
#include "model/trainer.h"

// Fills trainer->gradient from losses of the rows trainer->batch_rows of `rows` (NULL with a PDE); theta, moments and
// state stay as they are. `loss` is the mean loss at theta, `evaluations` the number of loss evaluations spent.
// Fails with `non_finite` at the first loss that is not a number, and with `cancelled`.
enum ttzo_error ttzo_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase, float *loss, uint32_t *evaluations);

#endif
