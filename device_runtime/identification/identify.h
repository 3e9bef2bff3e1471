// SPDX-License-Identifier: MIT
// Unknown constants of a simulation from a log: streaming Gauss-Newton. Host twin:
// host_tools/reference/identification/identify.py.
#ifndef TTZO_IDENTIFY_H
#define TTZO_IDENTIFY_H
#include "identification/simulation.h"

#if TTZO_HAS(IDENTIFICATION)

// The next rows of the log, at most a batch: of region batch from its beginning, of dataset from where the sweep stands.
// A sweep that ends accepts the candidate or not, and sets the next one. `loss` is the sweep's mean squared residual so
// far, `gradient_norm` the length of the next step in theta. `non_finite` when every start diverges.
enum ttzo_error ttzo_identify(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase, struct ttzo_step_result *result);

#else

static inline enum ttzo_error ttzo_identify(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                            const struct ttzo_phase *phase, struct ttzo_step_result *result)
{
    (void)trainer, (void)rows, (void)phase, (void)result;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
