// SPDX-License-Identifier: MIT
// The coordinates that a step asks: all of them, or cocd's, cyclically so many a step (arXiv 2605.14373).
#ifndef TTZO_COORDINATE_WINDOW_H
#define TTZO_COORDINATE_WINDOW_H
#include "model/trainer.h"

struct ttzo_coordinate_window {
    uint32_t first, length, n; // of n coordinates
};

struct ttzo_coordinate_window ttzo_coordinate_window_of(const struct ttzo_trainer *trainer,
                                                        const struct ttzo_phase *phase);

static inline bool ttzo_is_asked(const struct ttzo_coordinate_window *window, uint32_t coordinate)
{
    uint32_t first = window->first;
    return (coordinate >= first ? coordinate - first : coordinate + window->n - first) < window->length;
}

// From sums of loss differences over samples and `repeats` queries to the estimate; cocd: what lies outside the window
// is the decayed buffer.
void ttzo_coordinate_window_finish(const struct ttzo_coordinate_window *window, struct ttzo_trainer *trainer,
                                   const struct ttzo_phase *phase, uint32_t repeats);

#endif
