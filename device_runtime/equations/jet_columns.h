// SPDX-License-Identifier: MIT
// How wide what goes through the layers for a network's derivatives is.
#ifndef TTZO_JET_COLUMNS_H
#define TTZO_JET_COLUMNS_H
#include "model/model.h"

#if TTZO_HAS(EQUATIONS)

// Floats of a feature that go through the layers at once, at most.
uint32_t ttzo_derive_columns(const struct ttzo_model *model);

#else

static inline uint32_t ttzo_derive_columns(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

#endif
#endif
