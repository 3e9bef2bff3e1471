// SPDX-License-Identifier: MIT
// A PDE's rows: where their points lie, and the residual there.
#ifndef TTZO_PDE_H
#define TTZO_PDE_H
#include "ttzo.h"

// ---- reading

// Reads and checks the section of a bundle at `bytes` (4-byte aligned, at most `size` bytes) for a network of
// `n_inputs` inputs; false when anything is out of place. Programs, bounds and grid stay in the bundle.
bool ttzo_read_pde(const uint8_t *bytes, size_t size, uint32_t n_inputs, struct ttzo_pde *pde);

// Whether a PDE's numbers are sound, for a network of `n_inputs` inputs and a batch of `batch` rows.
bool ttzo_pde_is_sound(const struct ttzo_pde *pde, uint32_t n_inputs, uint32_t batch);

// ---- rows

// Numbers of work memory that the rows need, and its carving in the order of exporter/costs/memory.py.
uint64_t ttzo_pde_work_count(const struct ttzo_model *model);
void ttzo_pde_carve(struct ttzo_trainer *trainer, float *at);

// The residual of training row `row` of the step under way, times the root of its weight: its square is the row's loss.
float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t row);

// The same residual, put together from the last layer's inputs, and its derivatives by that layer's weights and bias (by
// differences of mu in each) into `columns`. Costs one derivation and a run of the program for each.
float ttzo_pde_residual_and_columns(struct ttzo_trainer *trainer, const float *theta, uint32_t row, float mu,
                                    float *columns);

// u and the exact solution at validation point number `row`.
void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row, float *u, float *exact);

// u at the point that stands in `row` as it travels.
float ttzo_pde_solution(struct ttzo_trainer *trainer, const uint8_t *row);

#endif
