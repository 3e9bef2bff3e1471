// SPDX-License-Identifier: MIT
// What is common to the estimates that take the batch row by row: whom they are for, and how far they are.
#ifndef TTZO_ESTIMATE_BASE_H
#define TTZO_ESTIMATE_BASE_H
#include "cores/coordinate_window.h"

struct ttzo_estimate_base {
    struct ttzo_trainer
        *trainer; // its gradient sums the rows' loss differences, row after row, and is scaled at the end
    const struct ttzo_rows *rows;
    const struct ttzo_phase *phase;
    struct ttzo_coordinate_window asked;
    bool antithetic;
    uint32_t done;  // rows
    float loss_sum; // of theirs
};

// Hands the multiply-adds done over to the trainer, and asks its caller whether to go on.
static inline enum ttzo_error ttzo_rows_still_wanted(const struct ttzo_estimate_base *base, uint64_t *macs)
{
    base->trainer->macs += *macs;
    *macs = 0;
    return ttzo_still_wanted(base->trainer, base->done, base->trainer->model->info.batch);
}

#endif
