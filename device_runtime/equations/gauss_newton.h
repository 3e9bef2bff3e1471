// SPDX-License-Identifier: MIT
// Gauss-Newton on the residuals of a PDE in a random subspace, from forward passes only.
#ifndef TTZO_GAUSS_NEWTON_H
#define TTZO_GAUSS_NEWTON_H
#include "model/trainer.h"

// Numbers of work memory and of moments that a phase needs; 0 for another estimator. The moments are the last two
// steps taken and the ridge.
uint64_t ttzo_gauss_newton_count(const struct ttzo_model *model, const struct ttzo_phase *phase);
uint32_t ttzo_gauss_newton_moments(const struct ttzo_model *model, const struct ttzo_phase *phase);

// Whether the phase fits the model.
bool ttzo_gauss_newton_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase);

// One step: theta and the moments change only when the batch's loss falls; after an error nothing has changed.
// `rate` scales the step.
enum ttzo_error ttzo_gauss_newton(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                  struct ttzo_step_result *result);

#endif
