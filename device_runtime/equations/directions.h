// SPDX-License-Identifier: MIT
// Directions of derivatives: the network's inputs, random directions in space and then time, and those that an equation
// names.
#ifndef TTZO_DIRECTIONS_H
#define TTZO_DIRECTIONS_H
#include "model/trainer.h"

#if TTZO_HAS(EQUATIONS)

// Whether derivatives are jets of plain float32 numbers.
static inline bool ttzo_carries_jets(const struct ttzo_model *model)
{
    uint32_t derivative = model->pde.info.derivative;
    return derivative == TTZO_DERIVATIVE_JET || (TTZO_HAS(SYSTEMS) && derivative == TTZO_DERIVATIVE_SAMPLED_JET);
}

// Directions whose second derivatives add up to the Laplacian; they are the first ones. Time is none of them.
static inline uint32_t ttzo_summed_directions(const struct ttzo_model *model)
{
    uint32_t n_sampled = ttzo_sampled_directions(&model->pde);
    return n_sampled ? n_sampled : model->pde.info.n_space;
}

// All of them: the rows of work->first.
static inline uint32_t ttzo_first_directions(const struct ttzo_model *model)
{
    return ttzo_summed_directions(model) + model->pde.info.has_time;
}

// How far the inputs go along the directions [first, first + n), times the input scale: columns [in_features][stride],
// whose first n columns are written. Random directions are those of `row` in the step under way.
void ttzo_write_directions(const struct ttzo_trainer *trainer, uint32_t row, uint32_t first, uint32_t n, float *columns,
                           uint32_t stride);

// Columns of a jet that carries all that the equation asks for, in all these directions.
uint32_t ttzo_whole_jet(const struct ttzo_model *model);

// The direction [n_space] that vector program `number` computes from the point; it stays until a program runs.
const float *ttzo_pde_vector(struct ttzo_trainer *trainer, uint32_t number);

// How far the inputs go along a direction of the section, times the input scale, into columns [n_inputs][stride] that are
// zeros. Runs a program where the direction is a vector's.
void ttzo_write_along(struct ttzo_trainer *trainer, const struct ttzo_pde_direction *direction, float *columns,
                      uint32_t stride);

// The highest order along a direction of the section, and the columns of all of them together.
uint32_t ttzo_highest_order(const struct ttzo_pde *pde, uint32_t *columns);

#endif
#endif
