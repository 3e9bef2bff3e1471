// SPDX-License-Identifier: MIT
// A module without the part `equations` has this in the place of columns, compensated, compensated_basis,
// compensated_columns, compensated_jet, derive, gauss_newton, pairs, pde, pde_bundle, program, sparse_grid and triangle. ttzo_read_bundle
// refuses a model that needs the part: what is asked for sizes answers that there are none, the rest is never called.
#include "equations/columns.h"
#include "equations/derive.h"
#include "equations/gauss_newton.h"
#include "equations/pde.h"
#include "train/settings.h"

bool ttzo_read_pde(const uint8_t *bytes, size_t size, uint32_t n_inputs, struct ttzo_pde *pde)
{
    (void)bytes, (void)size, (void)n_inputs, (void)pde;
    return false;
}

bool ttzo_pde_is_sound(const struct ttzo_pde *pde, uint32_t n_inputs, uint32_t batch)
{
    (void)pde, (void)n_inputs, (void)batch;
    return false;
}

uint64_t ttzo_pde_work_count(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

void ttzo_pde_carve(struct ttzo_trainer *trainer, float *at)
{
    (void)trainer, (void)at;
}

float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t row)
{
    (void)trainer, (void)theta, (void)row;
    return 0.0f;
}

void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row, float *u, float *exact)
{
    (void)trainer, (void)row, (void)u, (void)exact;
}

float ttzo_pde_solution(struct ttzo_trainer *trainer, const uint8_t *row)
{
    (void)trainer, (void)row;
    return 0.0f;
}

uint64_t ttzo_merged_numbers(const struct ttzo_layer *layer)
{
    (void)layer;
    return 0;
}

struct ttzo_layer ttzo_merged_layer(const struct ttzo_layer *layer)
{
    return *layer;
}

void ttzo_columns_buffers(const struct ttzo_model *model, uint64_t numbers[2])
{
    (void)model;
    numbers[0] = numbers[1] = 0;
}

uint32_t ttzo_derive_columns(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

uint32_t ttzo_derive_passes(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

uint64_t ttzo_gauss_newton_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return 0;
}

uint32_t ttzo_gauss_newton_moments(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model, (void)phase;
    return 0;
}

bool ttzo_gauss_newton_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    (void)model;
    return !ttzo_is_gauss_newton(phase->estimator);
}

enum ttzo_error ttzo_gauss_newton(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                  struct ttzo_step_result *result)
{
    (void)trainer, (void)phase, (void)rate, (void)result;
    return TTZO_ERROR_BAD_MODEL;
}
