// SPDX-License-Identifier: MIT
// The coordinates that a step asks: all of them, or cocd's, cyclically so many a step (arXiv 2605.14373).
#ifndef TTZO_WINDOW_H
#define TTZO_WINDOW_H
#include "model/trainer.h"

struct ttzo_window {
    uint32_t first, length, n; // of n coordinates
};

struct ttzo_window ttzo_window_of(const struct ttzo_trainer *trainer, const struct ttzo_phase *phase);

static inline bool ttzo_in_window(const struct ttzo_window *window, uint32_t coordinate)
{
    uint32_t first = window->first;
    return (coordinate >= first ? coordinate - first : coordinate + window->n - first) < window->length;
}

// From sums of loss differences over samples and `repeats` queries to the estimate; cocd: what lies outside the window is
// the decayed buffer.
void ttzo_window_finish(const struct ttzo_window *window, struct ttzo_trainer *trainer, const struct ttzo_phase *phase,
                        uint32_t repeats);

#endif
