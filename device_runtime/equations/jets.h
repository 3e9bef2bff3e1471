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

#endif
