// SPDX-License-Identifier: MIT
#include "train/work_memory.h"

#include "cores/row_estimate.h"
#include "equations/jet_columns.h"
#include "equations/gauss_newton.h"
#include "equations/pde.h"
#include "identification/simulation.h"
#include "model/carve.h"
#include "model/phase.h"
#include "operations/graph.h"
#include "ttzo.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint32_t ttzo_moments_count(const struct ttzo_model *model)
{
    uint32_t most = 0, n = model->info.n_parameters;
    if (ttzo_has_simulation(model))
        return ttzo_simulation_moments(model);
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++) {
        const struct ttzo_phase *phase = &model->phases[p];
        uint32_t needs = n * ttzo_moments_per_parameter(phase) + ttzo_gauss_newton_moments(model, phase);
        most = needs > most ? needs : most;
    }
    return most;
}

// Whether some phase needs the parameters of a query and the gradient at the same time.
static bool keeps_both(const struct ttzo_model *model)
{
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        if (model->phases[p].estimator == TTZO_ESTIMATOR_CGE_PLAIN || ttzo_is_gauss_newton(model->phases[p].estimator))
            return true;
    return false;
}

static uint64_t gauss_newton_count(const struct ttzo_model *model)
{
    uint64_t most = 0;
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        most = larger(most, ttzo_gauss_newton_count(model, &model->phases[p]));
    return most;
}

// Rows of the region batch. A PDE trains on points of its own: the region only serves the host's questions. A black box
// has no rows at all.
static uint32_t batch_capacity(const struct ttzo_model *model)
{
    if (ttzo_has_black_box(model))
        return 0;
    bool fewer = ttzo_has_equation(model) && model->info.batch > TTZO_QUESTION_ROWS;
    return fewer ? TTZO_QUESTION_ROWS : model->info.batch;
}

// ---- places ---------------------------------------------------------------------------------------------------------

// What lasts from step to step, and what ttzo_open sets.
static void carve_state(struct ttzo_trainer *trainer, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, batch = model->info.batch;
    trainer->theta = ttzo_take_even(carve, n);
    trainer->moments = ttzo_take_even(carve, ttzo_moments_count(model));
    trainer->base_losses = ttzo_take_even(carve, batch);
    trainer->batch_rows = (uint32_t *)(void *)ttzo_take_even(carve, batch);
    trainer->differences = ttzo_take_even(carve, ttzo_difference_capacity(model));
    if (ttzo_has_equation(model))
        ttzo_pde_carve(trainer, carve);
    trainer->gauss_newton = ttzo_take_even(carve, gauss_newton_count(model));
    trainer->box_losses = ttzo_take_even(carve, ttzo_has_black_box(model) ? batch : 0);
    if (ttzo_has_simulation(model))
        trainer->simulation = ttzo_take_even(carve, ttzo_simulation_numbers(model));
}

void ttzo_carve_forward(struct ttzo_trainer *trainer, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = trainer->model;
    uint64_t numbers[2] = { ttzo_forward_buffer(model, 0), ttzo_forward_buffer(model, 1) };
    if (ttzo_has_equation(model))
        ttzo_derive_buffers(model, numbers);
    for (uint32_t i = 0; i < 2; i++)
        trainer->activations[i] = ttzo_take_even(carve, numbers[i]);
    trainer->prepared = ttzo_take_even(carve, ttzo_network_prepared(model));
    trainer->scratch = ttzo_take_even(carve, ttzo_forward_scratch(model));
}

// All of it; returns the numbers of the state. A forward pass and what reusing estimators keep are never needed at once
// and share their place; from the gradient to the end of that place there is also room for a write to the moments.
static uint64_t carve_all(struct ttzo_trainer *trainer, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, rows = batch_capacity(model);
    carve_state(trainer, carve);
    uint64_t state = carve->numbers;
    trainer->gradient = ttzo_take_even(carve, n);
    trainer->perturbed = keeps_both(model) ? ttzo_take_even(carve, n) : trainer->gradient;
    struct ttzo_carve forward = *carve;
    ttzo_carve_forward(trainer, &forward);
    uint64_t moments_end = state + ttzo_even(ttzo_moments_count(model));
    uint64_t end =
        larger(forward.numbers, larger(carve->numbers + ttzo_even(ttzo_row_estimate_numbers(model)), moments_end));
    trainer->cache_area = ttzo_take(carve, end - carve->numbers);
    trainer->batch = (struct ttzo_rows){ NULL, rows, 0 };
    trainer->batch.bytes = (uint8_t *)ttzo_take_even(carve, ((uint64_t)rows * ttzo_row_bytes(model) + 3) / 4);
    return state;
}

static uint32_t bytes_of(uint64_t numbers)
{
    return numbers < UINT32_MAX / 4 ? 4 * (uint32_t)numbers : UINT32_MAX;
}

uint32_t ttzo_state_bytes(const struct ttzo_model *model)
{
    struct ttzo_trainer counting = { .model = model };
    struct ttzo_carve carve = { NULL, 0 };
    return bytes_of(carve_all(&counting, &carve));
}

uint32_t ttzo_work_bytes(const struct ttzo_model *model)
{
    struct ttzo_trainer counting = { .model = model };
    struct ttzo_carve carve = { NULL, 0 };
    carve_all(&counting, &carve);
    return bytes_of(carve.numbers);
}

void ttzo_carve_work(struct ttzo_trainer *trainer, void *work)
{
    struct ttzo_carve carve = { work, 0 };
    carve_all(trainer, &carve);
    uint8_t *at = (uint8_t *)work + trainer->work_bytes;
    uint32_t left = trainer->work_capacity - trainer->work_bytes;
    uint32_t spare = ttzo_has_equation(trainer->model) ? ttzo_pde_spare_bytes(trainer->model) : 0;
    if (spare > left)
        spare = 0;
    trainer->pde.shared = spare ? (float *)(void *)at : NULL;
    trainer->dataset = (struct ttzo_rows){ at + spare, (left - spare) / trainer->row_bytes, 0 };
}
