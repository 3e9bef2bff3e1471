// SPDX-License-Identifier: MIT
// Gauss-Newton on the residuals of a PDE in unit directions, from forward passes only.
#ifndef TTZO_COORDINATE_GN_H
#define TTZO_COORDINATE_GN_H
#include "model/phase.h"

#if TTZO_HAS(COORDINATES)

// Numbers of work memory that a phase needs; 0 for another estimator.
uint64_t ttzo_coordinate_gn_count(const struct ttzo_model *model, const struct ttzo_phase *phase);

// Whether the phase fits the model.
bool ttzo_coordinate_gn_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase);

// One step: theta and the moments (the ridge) change only when the batch's loss falls; after an error nothing has
// changed. `rate` scales the step.
enum ttzo_error ttzo_coordinate_gn(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                   struct ttzo_step_result *result);

#else

static inline uint64_t ttzo_coordinate_gn_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return 0;
}

static inline bool ttzo_coordinate_gn_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return false;
}

static inline enum ttzo_error ttzo_coordinate_gn(struct ttzo_trainer *trainer, const struct ttzo_phase *phase,
                                                 float rate, struct ttzo_step_result *result)
{
    (void)trainer, (void)phase, (void)rate, (void)result;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
