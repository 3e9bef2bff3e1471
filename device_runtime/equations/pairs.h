// SPDX-License-Identifier: MIT
// What differences of a network's outputs are made of: four pairs of nodes, each a centre's mirror images, go through
// the layers as their even and odd part, so that no nearby numbers are ever subtracted (float32 would lose the second
// derivative).
#ifndef TTZO_PAIRS_H
#define TTZO_PAIRS_H
#include "contract/ttzo_contract.h"

// sin(x[k]) and 1 - cos(x[k]), k < 4, the latter to full relative accuracy near 0; NaN beyond |x| = 10^5.
void ttzo_sine_and_versine(const float x[TTZO_PAIRS_AT_ONCE], float sine[TTZO_PAIRS_AT_ONCE],
                           float versine[TTZO_PAIRS_AT_ONCE]);

// n units. The inputs of unit j at pair k are z + even +- odd, its outputs phi(z) + even +- odd: columns [n][2][4],
// even parts first, are turned from the one into the other. `at` [n] is phi(z), z where phi is relu; `slope` [n]
// phi'(z).
void ttzo_activate_pairs(enum ttzo_activation activation, float *columns, const float *at, const float *slope,
                         uint32_t n);

// The same after the first layer, whose even parts are zero and not there: columns [n][4] in, [n][2][4] out.
void ttzo_activate_first_pairs(enum ttzo_activation activation, float *columns, const float *at, const float *slope,
                               uint32_t n);

#endif
