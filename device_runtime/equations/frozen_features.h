// SPDX-License-Identifier: MIT
// One least squares over the last layer, behind a hidden layer that each step draws anew: for equations that are linear
// in the network, whose solution it finds without iteration.
#ifndef TTZO_FROZEN_FEATURES_H
#define TTZO_FROZEN_FEATURES_H
#include "model/phase.h"

#if TTZO_HAS(FEATURES) && TTZO_HAS(COORDINATES)

// Numbers of work memory that a phase needs; 0 for another estimator.
uint64_t ttzo_frozen_features_count(const struct ttzo_model *model, const struct ttzo_phase *phase);

// Whether the phase fits the model: a dense layer of smooth units and a dense last layer, nothing unknown.
bool ttzo_frozen_features_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase);

// One step: theta changes only when the residuals of the next step's rows fall; after an error nothing has changed.
enum ttzo_error ttzo_frozen_features(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                     struct ttzo_step_result *result);

#else

static inline uint64_t ttzo_frozen_features_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return 0;
}

static inline bool ttzo_frozen_features_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return false;
}

static inline enum ttzo_error ttzo_frozen_features(struct ttzo_trainer *trainer, const struct ttzo_phase *phase,
                                                   float rate, struct ttzo_step_result *result)
{
    (void)trainer, (void)phase, (void)rate, (void)result;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
