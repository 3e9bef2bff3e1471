// SPDX-License-Identifier: MIT
// Derivatives carried through the layers: forward Laplacian, unmixed second derivatives, and along given directions.
#ifndef TTZO_JETS_H
#define TTZO_JETS_H
#include "equations/jet_columns.h"
#include "equations/walk.h"

// The value alone, and what differences and jets need of the units.
void ttzo_carry_value(const struct ttzo_derivation *d);

// Value, first derivatives, and the Laplacian or each second derivative: in one pass, or in several that carry a few
// columns each.
void ttzo_derive_by_jets(const struct ttzo_derivation *d);

// The derivatives along the section's directions into work->along; after the value has gone through the layers.
void ttzo_derive_along(const struct ttzo_derivation *d);

// The direction [n_space] that vector program `number` computes from the point; it stays until a program runs.
const float *ttzo_pde_vector(struct ttzo_trainer *trainer, uint32_t number);

// How far the inputs go along one of them, times the input scale, into columns [n_inputs][stride] that are zeros.
void ttzo_write_along(const struct ttzo_derivation *d, const struct ttzo_pde_direction *direction, float *columns,
                      uint32_t stride);

// Columns of a jet that carries all that `needs` asks for, in so many directions.
uint32_t ttzo_whole_jet(uint32_t n_directions, uint32_t needs);

// The highest order along a direction, and the columns of all directions together.
uint32_t ttzo_highest_order(const struct ttzo_pde *pde, uint32_t *columns);

#endif
