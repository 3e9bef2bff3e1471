// SPDX-License-Identifier: MIT
// The parts of a step that tests look at on their own.
#ifndef TTZO_TRAIN_H
#define TTZO_TRAIN_H
#include "model/model.h"

// What the learning rate is multiplied by in the step after `step` steps: warm-up times decay.
float ttzo_rate_factor(const struct ttzo_training *training, uint32_t step);

#endif
