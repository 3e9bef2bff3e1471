// SPDX-License-Identifier: MIT
// A network's derivatives at a point from forward passes alone: jets, differences, or the Stein estimator.
#ifndef TTZO_DERIVE_H
#define TTZO_DERIVE_H
#include "model/trainer.h"

#if TTZO_HAS(EQUATIONS)

// Forward passes of one point, about.
uint32_t ttzo_derive_passes(const struct ttzo_model *model);

// The m outputs of a chain's first `n_layers` layers, or of a whole graph, at trainer->pde.point, and what `needs` (sum of enum
// ttzo_need) asks of their derivatives, into value, first, laplacian and diagonal. `row` numbers the noise of
// monte_carlo in this step. value is the plain network's, not the smoothed one's.
// Cost in forward passes: jet 1 + inputs + 1, finite_difference 1 + 2 inputs, sparse_grid one a node.
void ttzo_derive(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers, uint32_t needs, uint32_t row);

// Merges the cores of `theta` once for all rows that are derived there next, as long as its numbers stay.
void ttzo_hold_cores(struct ttzo_trainer *trainer, const float *theta);

static inline void ttzo_release_cores(struct ttzo_trainer *trainer)
{
    trainer->pde.held = NULL;
}

#else

static inline void ttzo_hold_cores(struct ttzo_trainer *trainer, const float *theta)
{
    (void)trainer, (void)theta;
}

static inline void ttzo_release_cores(struct ttzo_trainer *trainer)
{
    (void)trainer;
}

static inline uint32_t ttzo_derive_passes(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

#endif
#endif
