// SPDX-License-Identifier: MIT
// Estimates that reuse environments, row by row: begin, every row of the batch, end. Rows go one after the other, so
// that memory does not grow with the batch; what is added to a coordinate is added in row order.
#ifndef TTZO_ROW_ESTIMATE_H
#define TTZO_ROW_ESTIMATE_H
#include "cores/core_estimate.h"
#include "cores/gathered_gradient.h"
#include "cores/graph_gradient.h"

struct ttzo_row_estimate {
    bool is_graph;    // the model is no chain of layers
    bool is_gathered; // a layer of the chain is applied several times to a sample
    union {
        struct ttzo_estimate_base base; // the first member of all
#if TTZO_HAS(CORES)
        struct ttzo_core_estimate cores;
        struct ttzo_gathered_estimate gathered;
        struct ttzo_graph_estimate graph;
#endif
    } by;
};

// Whether all rows of the batch are done.
static inline bool ttzo_row_estimate_is_complete(const struct ttzo_row_estimate *estimate)
{
    return estimate->by.base.done == estimate->by.base.trainer->model->info.batch;
}

#if TTZO_HAS(CORES)

// Numbers in the work area; 0 when no phase of the model reuses. 64 bits, because the model may not be checked yet; no
// more than TTZO_MAX_WIDTH are taken.
uint64_t ttzo_row_estimate_numbers(const struct ttzo_model *model);

// Begins an estimate of the rows trainer->batch_rows of `rows`: gradient zero, and what all rows share.
void ttzo_row_estimate_begin(struct ttzo_row_estimate *estimate, struct ttzo_trainer *trainer,
                             const struct ttzo_rows *rows, const struct ttzo_phase *phase);

// The next row of the batch. Fails with `non_finite` when its loss is not a number, and with `cancelled`.
enum ttzo_error ttzo_row_estimate_next(struct ttzo_row_estimate *estimate);

// After the last row: trainer->gradient is the estimate. `loss` and `evaluations` as in ttzo_estimate_end.
enum ttzo_error ttzo_row_estimate_end(struct ttzo_row_estimate *estimate, float *loss, uint32_t *evaluations);

#else

static inline uint64_t ttzo_row_estimate_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline void ttzo_row_estimate_begin(struct ttzo_row_estimate *estimate, struct ttzo_trainer *trainer,
                                           const struct ttzo_rows *rows, const struct ttzo_phase *phase)
{
    (void)estimate, (void)trainer, (void)rows, (void)phase;
}

static inline enum ttzo_error ttzo_row_estimate_next(struct ttzo_row_estimate *estimate)
{
    (void)estimate;
    return TTZO_ERROR_NOT_BUILT_IN;
}

static inline enum ttzo_error ttzo_row_estimate_end(struct ttzo_row_estimate *estimate, float *loss,
                                                    uint32_t *evaluations)
{
    (void)estimate, (void)loss, (void)evaluations;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
