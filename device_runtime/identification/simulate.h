// SPDX-License-Identifier: MIT
// Simulations side by side, from one row of a log to the next.
#ifndef TTZO_SIMULATE_H
#define TTZO_SIMULATE_H
#include "identification/simulation.h"

// The constants at the candidate, and each of them where its theta is larger by the phase's mu.
void ttzo_simulate_values(struct ttzo_fit *fit);

// The states of all simulations where a log begins with these inputs [M].
void ttzo_simulate_begin(struct ttzo_fit *fit, const float *inputs);

// All simulations over `time` from the inputs of the row before to `inputs` [M], by Runge-Kutta steps of fourth order.
void ttzo_simulate_advance(struct ttzo_fit *fit, float time, const float *inputs);

// Residuals of measured column `y` in all simulations, at `inputs`, into fit->row.
void ttzo_simulate_measure(struct ttzo_fit *fit, uint32_t y, const float *inputs, float measured);

#endif
