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
        struct ttzo_core_estimate cores;
        struct ttzo_gathered_estimate gathered;
        struct ttzo_graph_estimate graph;
    } by;
};

#if TTZO_HAS(CORES)

// Numbers in the work area; 0 when no phase of the model reuses. 64 bits, because the model may not be checked yet; no
// more than TTZO_MAX_WIDTH are taken.
uint64_t ttzo_row_estimate_numbers(const struct ttzo_model *model);

// Begins an estimate of the rows trainer->batch_rows of `rows`: gradient zero, and what all rows share.
void ttzo_row_estimate_begin(struct ttzo_row_estimate *estimate, struct ttzo_trainer *trainer,
                             const struct ttzo_rows *rows, const struct ttzo_phase *phase);

// The next row of the batch. Fails with `non_finite` when its loss is not a number, and with `cancelled`.
enum ttzo_error ttzo_row_estimate_next(struct ttzo_row_estimate *estimate);

// After the last row: trainer->gradient is the estimate. `loss` and `evaluations` as in ttzo_estimate.
enum ttzo_error ttzo_row_estimate_end(struct ttzo_row_estimate *estimate, float *loss, uint32_t *evaluations);

// All of it.
enum ttzo_error ttzo_estimate_by_rows(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                      const struct ttzo_phase *phase, float *loss, uint32_t *evaluations);

#else

static inline uint64_t ttzo_row_estimate_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline enum ttzo_error ttzo_estimate_by_rows(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                                    const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    (void)trainer, (void)rows, (void)phase, (void)loss, (void)evaluations;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
