// SPDX-License-Identifier: MIT
// Which parts of the runtime a build holds. A part is left out with its folder (cores/, equations/, link/), or inside
// the files that wrap their text in `#if TTZO_HAS(...)`; beside the prototypes of what is left out stand stubs that do
// nothing. ttzo_read_bundle refuses a model that needs a missing part (`not_built_in`), so no stub is ever asked to
// work.
#ifndef TTZO_MODEL_PARTS_H
#define TTZO_MODEL_PARTS_H
#include "contract/ttzo_contract.h"

// The parts that are there: a sum of TTZO_PART_*.
#ifndef TTZO_PARTS
#define TTZO_PARTS TTZO_ALL_PARTS
#endif

// Whether a part is there: a constant for the compiler and for the preprocessor.
#define TTZO_HAS(part) ((TTZO_PARTS & TTZO_PART_##part) != 0)

// Equations and simulations, which have no targets, come with the losses; equations and graphs with the curves.
#define TTZO_HAS_LOSSES (TTZO_HAS(LOSSES) || TTZO_HAS(EQUATIONS) || TTZO_HAS(IDENTIFICATION))
#define TTZO_HAS_CURVES (TTZO_HAS(CURVES) || TTZO_HAS(EQUATIONS) || TTZO_HAS(OPERATIONS))

#endif
