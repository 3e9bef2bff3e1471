// SPDX-License-Identifier: MIT
// A training phase: what kind of estimator it uses, and what it keeps from step to step.
#ifndef TTZO_MODEL_PHASE_H
#define TTZO_MODEL_PHASE_H
#include "model/trainer.h"

// How many phases the model has, at most TTZO_MAX_PHASES; its record may not be checked yet.
static inline uint32_t ttzo_phase_count(const struct ttzo_model *model)
{
    return model->training.n_phases < TTZO_MAX_PHASES ? model->training.n_phases : TTZO_MAX_PHASES;
}

// Whether some phase of the model uses the estimator.
bool ttzo_has_estimator(const struct ttzo_model *model, enum ttzo_estimator estimator);

// Whether an estimator makes parameters' derivatives of units' differences.
bool ttzo_estimator_goes_by_units(uint8_t estimator);

// Whether an estimator keeps caches of a sample and evaluates its queries from them.
bool ttzo_estimator_reuses(uint8_t estimator);

bool ttzo_is_gauss_newton(uint8_t estimator);

// Numbers that the phase's update rule, and cocd, keep for each parameter.
uint32_t ttzo_moments_per_parameter(const struct ttzo_phase *phase);

// cocd's memory [P], after the moments of the phase's update rule: the last estimate.
float *ttzo_last_estimate(const struct ttzo_trainer *trainer, const struct ttzo_phase *phase);

// Random directions of one step that the model has memory for: as many as it was exported with, and at least
// TTZO_MIN_QUERY_ROOM; 0 without a phase of rge.
uint32_t ttzo_difference_capacity(const struct ttzo_model *model);

#endif
