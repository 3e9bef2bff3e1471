// SPDX-License-Identifier: MIT
// Gauss-Newton on the residuals of a PDE in unit directions, from forward passes only.
#ifndef TTZO_COORDINATE_GN_H
#define TTZO_COORDINATE_GN_H
#include "model/phase.h"

#if TTZO_HAS(EQUATIONS)

// Numbers of work memory that a phase needs; 0 for another estimator.
uint64_t ttzo_coordinate_gn_count(const struct ttzo_model *model, const struct ttzo_phase *phase);

// Whether the phase fits the model.
bool ttzo_coordinate_gn_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase);

// One step: theta and the moments (the ridge) change only when the batch's loss falls; after an error nothing has
// changed. `rate` scales the step.
enum ttzo_error ttzo_coordinate_gn(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                   struct ttzo_step_result *result);

#endif
#endif
