// SPDX-License-Identifier: MIT
// Gauss-Newton on the residuals of a PDE in a random subspace, from forward passes only.
#ifndef TTZO_GAUSS_NEWTON_H
#define TTZO_GAUSS_NEWTON_H
#include "model/phase.h"

#if TTZO_HAS(EQUATIONS)

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

#else

static inline uint64_t ttzo_gauss_newton_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return 0;
}

static inline uint32_t ttzo_gauss_newton_moments(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return 0;
}

static inline bool ttzo_gauss_newton_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model;
    return !ttzo_is_gauss_newton(phase->estimator);
}

static inline enum ttzo_error ttzo_gauss_newton(struct ttzo_trainer *trainer, const struct ttzo_phase *phase,
                                                float rate, struct ttzo_step_result *result)
{
    (void)trainer, (void)phase, (void)rate, (void)result;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
