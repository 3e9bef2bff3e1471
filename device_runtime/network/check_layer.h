// SPDX-License-Identifier: MIT
#ifndef TTZO_CHECK_LAYER_H
#define TTZO_CHECK_LAYER_H
#include "model/model.h"

// Whether every number of a layer's record is in range and fits the others. Where its parameters lie, and what it reads, is
// checked by the model's check.
bool ttzo_layer_is_sound(const struct ttzo_layer *layer);

// Whether the arrays that it makes and its parameters stay within the limits; ranks and modes are sound.
bool ttzo_layer_width_is_sound(const struct ttzo_layer *layer);

#endif
