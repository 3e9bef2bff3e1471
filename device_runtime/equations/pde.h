// SPDX-License-Identifier: MIT
// A PDE's rows: where their points lie, and the residual there.
#ifndef TTZO_PDE_H
#define TTZO_PDE_H
#include "model/carve.h"
#include "model/trainer.h"

#if TTZO_HAS(EQUATIONS)

// Lays the work memory of the rows out.
void ttzo_pde_carve(struct ttzo_trainer *trainer, struct ttzo_carve *carve);

// Bytes beyond the work memory with which rows of a batch share work: trainer->pde.shared, where they are there.
uint32_t ttzo_pde_spare_bytes(const struct ttzo_model *model);

// The residual of training row `row` of the step under way, times the root of its weight: its square is the row's loss.
float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t row);

// The point around which unit `unit` of frozen_features bends in the step under way, into trainer->pde.point.
void ttzo_pde_draw_feature(struct ttzo_trainer *trainer, uint32_t unit);

// The network at validation point number `row`, for the next two functions to read.
void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row);

// The same at the point that stands in `row` as it is sent.
void ttzo_pde_solve(struct ttzo_trainer *trainer, const uint8_t *row);

// Unknown function number `field` at that point: as the network has it, and exact.
float ttzo_pde_solution(struct ttzo_trainer *trainer, uint32_t field);
float ttzo_pde_exact(struct ttzo_trainer *trainer, uint32_t field);

#else

static inline void ttzo_pde_carve(struct ttzo_trainer *trainer, struct ttzo_carve *carve)
{
    (void)trainer, (void)carve;
}

static inline uint32_t ttzo_pde_spare_bytes(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t row)
{
    (void)trainer, (void)theta, (void)row;
    return 0.0f;
}

static inline void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row)
{
    (void)trainer, (void)row;
}

static inline void ttzo_pde_solve(struct ttzo_trainer *trainer, const uint8_t *row)
{
    (void)trainer, (void)row;
}

static inline float ttzo_pde_solution(struct ttzo_trainer *trainer, uint32_t field)
{
    (void)trainer, (void)field;
    return 0.0f;
}

static inline float ttzo_pde_exact(struct ttzo_trainer *trainer, uint32_t field)
{
    (void)trainer, (void)field;
    return 0.0f;
}

#endif
#endif
