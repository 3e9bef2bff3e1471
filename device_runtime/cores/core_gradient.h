// SPDX-License-Identifier: MIT
// Estimators that look at one core at a time and share its environments: cge, node_cge, block_rge, cocd.
#ifndef TTZO_CORE_GRADIENT_H
#define TTZO_CORE_GRADIENT_H
#include "model/trainer.h"

#if TTZO_HAS(CORES)

// As ttzo_estimate, for an estimator that reuses (reuse.h). Samples go through one after the other, so that memory does
// not grow with the batch; trainer->poll counts them.
enum ttzo_error ttzo_estimate_by_cores(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                       const struct ttzo_phase *phase, float *loss, uint32_t *evaluations);

#else

static inline enum ttzo_error ttzo_estimate_by_cores(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                                     const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    (void)trainer, (void)rows, (void)phase, (void)loss, (void)evaluations;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
