// SPDX-License-Identifier: MIT
// What a step does to parameters and moments once the gradient is estimated.
#ifndef TTZO_UPDATE_PARAMETERS_H
#define TTZO_UPDATE_PARAMETERS_H
#include "model/model.h"

struct ttzo_trainer;

// What the learning rate is multiplied by in the step after `step` steps: warm-up times decay.
float ttzo_rate_factor(const struct ttzo_training *training, uint32_t step);

// Takes the step of `rate` along trainer->gradient by the phase's rule, whose moments are the trainer's. Into `norm`: the
// gradient's, before clipping. After an error, `non_finite`, theta and moments are as before.
enum ttzo_error ttzo_update_parameters(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                       float *norm);

#endif
