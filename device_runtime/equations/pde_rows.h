// SPDX-License-Identifier: MIT
// One row of an equation: where its point lies, and its residual where the network's outputs have given derivatives.
#ifndef TTZO_PDE_ROWS_H
#define TTZO_PDE_ROWS_H
#include "equations/directions.h"
#include "model/trainer.h"

// A network's outputs and derivatives, a number for each of m outputs or features: [m], [ttzo_first_directions][m], or of
// `along` [n_directions][TTZO_MAX_ORDER][m].
struct ttzo_pde_parts {
    float *value, *first, *laplacian, *diagonal, *along;
};

// A row of the batch: its group, and the face on which its point lies, where it lies on one.
struct ttzo_pde_row {
    uint32_t number, group, face;
};

// Rows of `along`.
static inline uint32_t ttzo_pde_along(const struct ttzo_model *model)
{
    return TTZO_MAX_ORDER * ttzo_pde_directions(&model->pde);
}

// Numbers of the outputs' parts.
static inline uint32_t ttzo_pde_set_numbers(const struct ttzo_model *model)
{
    return ttzo_functions(model) * (2 + 2 * ttzo_first_directions(model) + ttzo_pde_along(model));
}

// Where ttzo_derive writes them.
static inline struct ttzo_pde_parts ttzo_pde_derived(const struct ttzo_trainer *trainer)
{
    const struct ttzo_pde_work *work = &trainer->pde;
    return (struct ttzo_pde_parts){ work->value, work->first, work->laplacian, work->diagonal, work->along };
}

// Draws the row's point.
struct ttzo_pde_row ttzo_pde_begin_row(struct ttzo_trainer *trainer, uint32_t number);

// Whether the row's residual is the difference of its condition at two points, and the way to the second one.
static inline bool ttzo_pde_has_opposite(const struct ttzo_model *model, const struct ttzo_pde_row *row)
{
    return TTZO_HAS(SYSTEMS) && model->pde.groups[row->group].sampler == TTZO_SAMPLER_OPPOSITE;
}

void ttzo_pde_move_to_opposite(struct ttzo_trainer *trainer, const struct ttzo_pde_row *row);

// The unknown constants that stand at the end of theta, into trainer->pde.unknowns; and one of them.
void ttzo_pde_set_unknowns(struct ttzo_trainer *trainer, const float *theta);
float ttzo_pde_unknown(const struct ttzo_pde *pde, uint32_t k, float number);

// A program of the equation where the network's outputs have these derivatives.
float ttzo_pde_run(struct ttzo_trainer *trainer, const struct ttzo_program *program, const struct ttzo_pde_parts *at);

#endif
