// SPDX-License-Identifier: MIT
// How wide what goes through the layers for a network's derivatives is.
#ifndef TTZO_JET_COLUMNS_H
#define TTZO_JET_COLUMNS_H
#include "model/model.h"

#if TTZO_HAS(EQUATIONS)

// Floats of a feature that go through the layers at once, at most.
uint32_t ttzo_derive_columns(const struct ttzo_model *model);

// Numbers of the two exchange buffers in which they go through.
void ttzo_derive_buffers(const struct ttzo_model *model, uint64_t numbers[2]);

#else

static inline void ttzo_derive_buffers(const struct ttzo_model *model, uint64_t numbers[2])
{
    (void)model;
    numbers[0] = numbers[1] = 0;
}

#endif
#endif
