// SPDX-License-Identifier: MIT
// A module without both parts `environments` and `gathers` has this in the place of applied. ttzo_read_bundle refuses a
// model that needs both; no other asks.
#include "cores/gathered_gradient.h"

bool ttzo_model_gathers(const struct ttzo_model *model)
{
    (void)model;
    return false;
}

bool ttzo_applied_is_sound(const struct ttzo_model *model, enum ttzo_estimator estimator)
{
    (void)model, (void)estimator;
    return false;
}

uint64_t ttzo_applied_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

uint64_t ttzo_applied_widest(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

enum ttzo_error ttzo_estimate_applied(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                      const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    (void)trainer, (void)rows, (void)phase, (void)loss, (void)evaluations;
    return TTZO_ERROR_BAD_MODEL;
}
