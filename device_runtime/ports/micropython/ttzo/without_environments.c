// SPDX-License-Identifier: MIT
// A module without the part `environments` has this in the place of coordinates, core_products, environments, nodes, reuse, slices
// and travel. ttzo_read_bundle
// refuses a model that needs the part: what is asked for sizes answers that there are none, the rest is never called.
#include "cores/core_gradient.h"
#include "cores/sample_cache.h"

uint64_t ttzo_reuse_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

enum ttzo_error ttzo_estimate_by_cores(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                       const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    (void)trainer, (void)rows, (void)phase, (void)loss, (void)evaluations;
    return TTZO_ERROR_BAD_MODEL;
}
