// SPDX-License-Identifier: MIT
#ifndef TTZO_MODEL_NEEDED_PARTS_H
#define TTZO_MODEL_NEEDED_PARTS_H
#include "model/model.h"

// The parts of the runtime that a model needs, a sum of TTZO_PART_*. A part that only its equation needs counts once
// the equation is read.
uint32_t ttzo_needed_parts(const struct ttzo_model *model);

#endif
