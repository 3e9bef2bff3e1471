// SPDX-License-Identifier: MIT
// Gradient estimates from losses alone: which direction next, and how to add up (paper eq. 2).
#ifndef TTZO_ESTIMATOR_H
#define TTZO_ESTIMATOR_H
#include "cores/row_estimate.h"

// An estimate of rge or cge_plain: whole loss evaluations, one after the other.
struct ttzo_evaluations {
    struct ttzo_trainer *trainer;
    const struct ttzo_rows *rows;
    const struct ttzo_phase *phase;
    uint32_t done, total;    // loss evaluations
    uint32_t row;            // the next row of the running one
    const float *parameters; // of the running one
    float sum;               // of the loss differences of its rows
    float loss;              // the mean loss at theta
};

// An estimate under way.
struct ttzo_gradient_estimate {
    bool reuses; // the estimator takes the batch row by row
    union {
        struct ttzo_evaluations evaluations;
        struct ttzo_row_estimate rows;
    } by;
};

// Begins an estimate of the losses of the rows trainer->batch_rows of `rows` (NULL with a PDE); theta, moments and state
// stay as they are.
void ttzo_estimate_begin(struct ttzo_gradient_estimate *estimate, struct ttzo_trainer *trainer,
                         const struct ttzo_rows *rows, const struct ttzo_phase *phase);

// The next piece of work: a row with all its queries, or a row of one loss evaluation. Fails with `non_finite` at the
// first loss that is not a number, and with `cancelled`.
enum ttzo_error ttzo_estimate_next(struct ttzo_gradient_estimate *estimate, bool *complete);

// After the last piece: trainer->gradient is the estimate, `loss` the mean loss at theta, `evaluations` the number of
// loss evaluations spent.
enum ttzo_error ttzo_estimate_end(struct ttzo_gradient_estimate *estimate, float *loss, uint32_t *evaluations);

// All of it.
enum ttzo_error ttzo_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase, float *loss, uint32_t *evaluations);

#endif
