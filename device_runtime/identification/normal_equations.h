// SPDX-License-Identifier: MIT
// What a sweep has summed up, as a step of the unknowns.
#ifndef TTZO_NORMAL_EQUATIONS_H
#define TTZO_NORMAL_EQUATIONS_H
#include "identification/simulation.h"

// Moves theta[i] to its bounds where it is beyond them.
void ttzo_fit_clamp(const struct ttzo_fit *fit, float *theta);

// What earlier logs say against `theta`: d' P d, d its distance from where they ended.
float ttzo_fit_prior_cost(const struct ttzo_fit *fit, const float *theta);

// The candidate from theta: (J'J + P + ridge diagonal) step = -(J'r + P d), each unknown's step at most the phase's
// trust radius, inside the bounds. Unknowns that the log does not show, and those that press against a bound, stay.
// Returns the length of the step.
float ttzo_fit_propose(struct ttzo_fit *fit);

#endif
