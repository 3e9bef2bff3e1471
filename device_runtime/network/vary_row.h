// SPDX-License-Identifier: MIT
// Augmentation: training rows that a step varies by the seed, in place (struct row_info of the contract).
// Host twin: host_tools/reference/network/vary_rows.py.
#ifndef TTZO_VARY_ROW_H
#define TTZO_VARY_ROW_H
#include "model/model.h"

#if TTZO_HAS(AUGMENTATION)

// Whether the numbers of the section fit the model.
bool ttzo_row_info_is_sound(const struct ttzo_model *model);

// Moves, scales and jitters the raw inputs of `row`, row `slot` of the batch of step `step`. Cost: one Philox call for
// the shift, for four channels that are scaled and for four numbers that are jittered.
void ttzo_vary_row(const struct ttzo_model *model, uint64_t seed, uint32_t step, uint32_t slot, uint8_t *row);

#else

static inline bool ttzo_row_info_is_sound(const struct ttzo_model *model)
{
    (void)model;
    return true;
}

static inline void ttzo_vary_row(const struct ttzo_model *model, uint64_t seed, uint32_t step, uint32_t slot,
                                 uint8_t *row)
{
    (void)model, (void)seed, (void)step, (void)slot, (void)row;
}

#endif
#endif
