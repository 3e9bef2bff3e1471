// SPDX-License-Identifier: MIT
// Threads that make an estimate together. The native port alone has them and defines TTZO_THREADS; in every other build
// these functions are empty and cost no instruction. Whatever the number of threads, what is added to a coordinate is
// added in row order, so that the bits are those of one thread.
#ifndef TTZO_MODEL_THREADS_H
#define TTZO_MODEL_THREADS_H
#include "model/trainer.h"

#ifdef TTZO_THREADS

// Makes the estimate of ttzo_estimate with all threads, `error` included. False where it takes one thread; then nothing
// is done.
bool ttzo_share_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows, const struct ttzo_phase *phase,
                         float *loss, uint32_t *evaluations, enum ttzo_error *error);

// Around what a row adds to sums that rows have in common (trainer->gradient is theirs in between): waits until the row
// before has added the same.
void ttzo_enter_row_order(struct ttzo_trainer *trainer);
void ttzo_leave_row_order(struct ttzo_trainer *trainer);

#else

static inline bool ttzo_share_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                       const struct ttzo_phase *phase, float *loss, uint32_t *evaluations,
                                       enum ttzo_error *error)
{
    (void)trainer, (void)rows, (void)phase, (void)loss, (void)evaluations, (void)error;
    return false;
}

static inline void ttzo_enter_row_order(struct ttzo_trainer *trainer)
{
    (void)trainer;
}

static inline void ttzo_leave_row_order(struct ttzo_trainer *trainer)
{
    (void)trainer;
}

#endif
#endif
