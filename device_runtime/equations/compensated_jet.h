// SPDX-License-Identifier: MIT
// Jets as in derive.c, their numbers sums of two floats: where a network's derivatives nearly vanish, as on a solution
// that is constant, they keep what single floats lose.
#ifndef TTZO_COMPENSATED_JET_H
#define TTZO_COMPENSATED_JET_H
#include "model/trainer.h"

static inline bool ttzo_is_compensated(const struct ttzo_model *model)
{
    return TTZO_HAS(COMPENSATED) && model->pde.info.derivative == TTZO_DERIVATIVE_COMPENSATED_JET;
}

// Forward passes of one point, about.
uint32_t ttzo_compensated_passes(const struct ttzo_model *model);

// Merges the first `n_layers` layers' cores and makes the basis of what the first one reads.
void ttzo_compensated_prepare(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers);

// What the first layer's linear part makes of the directions is the same at all points: floats of it and of the sums of its
// squares; 0 where nothing is shared. [directions][units][2], then [units][2].
uint64_t ttzo_compensated_shared(const struct ttzo_model *model);

// Writes it to trainer->pde.shared, after ttzo_compensated_prepare at the same `theta`.
void ttzo_compensated_share(struct ttzo_trainer *trainer, const float *theta);

// After ttzo_compensated_prepare at the same `theta`: writes value, first, and laplacian or diagonal, of the network's
// first `n_layers` layers at trainer->pde.point, as far as `needs` asks for them. The columns go through the layers two by two. Of a unit its slope and one number more
// are kept, 4 floats: the value goes twice, where its second derivatives find no place in what lies idle.
void ttzo_compensated_jet(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers, uint32_t needs);

#endif
