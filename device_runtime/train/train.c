// SPDX-License-Identifier: MIT
// A training step: batch, estimate, update, plateau; and evaluation.
#include "train/estimator.h"
#include "equations/gauss_newton.h"
#include "identification/identify.h"
#include "network/loss.h"
#include "operations/graph.h"
#include "equations/pde.h"
#include "number/random.h"
#include "number/real.h"
#include "model/phase.h"
#include "network/sparse_rows.h"
#include "network/vary_row.h"
#include "train/update.h"
#include "ttzo.h"

// ---- plateau --------------------------------------------------------------------------------------------------------

// Hybrid training: the next phase begins when the mean loss of `plateau_patience` windows in a row did not fall.
static void watch_plateau(struct ttzo_trainer *trainer, float loss)
{
    const struct ttzo_training *settings = &trainer->training;
    struct ttzo_state *state = &trainer->state;
    if (state->phase + 1 >= settings->n_phases)
        return;
    state->window_sum = state->window_sum + loss;
    if (++state->window_count < settings->plateau_window)
        return;
    float mean = state->window_sum / (float)state->window_count;
    state->window_sum = 0.0f;
    state->window_count = 0;
    if (mean < state->best_window * (1.0f - settings->plateau_tolerance)) {
        state->best_window = mean;
        state->windows_without_progress = 0;
    } else if (++state->windows_without_progress >= settings->plateau_patience) {
        state->phase++;
        state->phase_start = state->step;
        for (uint32_t i = 0; i < trainer->n_moments; i++)
            trainer->moments[i] = 0.0f;
    }
}

// ---- the step -------------------------------------------------------------------------------------------------------

static const struct ttzo_rows *rows_of(const struct ttzo_trainer *trainer, enum ttzo_region region)
{
    return region == TTZO_REGION_BATCH || region == TTZO_REGION_SPARSE ? &trainer->batch
           : region == TTZO_REGION_DATASET                             ? &trainer->dataset
                                                                       : NULL;
}

// The batch as the sample order picks it from the region sparse.
static enum ttzo_error unpack_batch(struct ttzo_trainer *trainer)
{
    uint32_t batch = trainer->model->info.batch, n = trainer->sparse.count;
    uint64_t position = (uint64_t)trainer->state.step * batch;
    if (n == 0)
        return TTZO_ERROR_NOT_COMMITTED;
    for (uint32_t j = 0; j < batch; j++)
        ttzo_sparse_row(trainer->model, trainer->sparse.bytes, ttzo_sample_row(trainer->training.seed, position + j, n),
                        trainer->batch.bytes + (size_t)j * trainer->row_bytes);
    trainer->batch.count = batch;
    return TTZO_ERROR_OK;
}

// Copies the rows that a step has picked into the region batch and varies them there. Rows that the host wrote there are
// used up: another step needs them written again.
static void vary_rows(struct ttzo_trainer *trainer, const struct ttzo_rows **rows)
{
    for (uint32_t j = 0; j < trainer->model->info.batch; j++) {
        uint8_t *to = trainer->batch.bytes + (size_t)j * trainer->row_bytes;
        const uint8_t *from = (*rows)->bytes + (size_t)trainer->batch_rows[j] * trainer->row_bytes;
        for (uint32_t b = 0; from != to && b < trainer->row_bytes; b++)
            to[b] = from[b];
        ttzo_vary_row(trainer->model, trainer->training.seed, trainer->state.step, j, to);
        trainer->batch_rows[j] = j;
    }
    trainer->batch.count = 0;
    *rows = &trainer->batch;
}

// Picks the batch's rows; `chosen` is where they stand then.
static enum ttzo_error choose_rows(struct ttzo_trainer *trainer, enum ttzo_region region,
                                   const struct ttzo_rows **chosen)
{
    const struct ttzo_rows *rows = *chosen = rows_of(trainer, region);
    uint32_t batch = trainer->model->info.batch;
    bool without = ttzo_needs_no_rows(trainer->model);
    if (without != (region == TTZO_REGION_COLLOCATION) || without == (rows != NULL))
        return TTZO_ERROR_BAD_REQUEST;
    if (ttzo_has_simulation(trainer->model) && region == TTZO_REGION_SPARSE)
        return TTZO_ERROR_BAD_REQUEST;
    if (!rows)
        return TTZO_ERROR_OK;
    enum ttzo_error error = region == TTZO_REGION_SPARSE ? unpack_batch(trainer) : TTZO_ERROR_OK;
    if (error)
        return error;
    if (rows->count < (region == TTZO_REGION_DATASET ? 1u : batch))
        return TTZO_ERROR_NOT_COMMITTED;
    uint64_t position = (uint64_t)trainer->state.step * batch;
    for (uint32_t j = 0; j < batch; j++)
        trainer->batch_rows[j] =
            region == TTZO_REGION_DATASET ? ttzo_sample_row(trainer->training.seed, position + j, rows->count) : j;
    if (ttzo_varies_rows(trainer->model))
        vary_rows(trainer, chosen);
    return TTZO_ERROR_OK;
}

// The update after an estimate; after an error theta and moments are as before.
static enum ttzo_error take_estimate(struct ttzo_trainer *trainer, const struct ttzo_phase *phase,
                                     struct ttzo_step_result *result)
{
    float rate = phase->learning_rate * ttzo_rate_factor(&trainer->training, trainer->state.step);
    enum ttzo_error error = ttzo_update_parameters(trainer, phase, rate, &result->gradient_norm);
    if (!error && phase->estimator == TTZO_ESTIMATOR_COCD) {
        float *buffer = ttzo_last_estimate(trainer, phase);
        for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
            buffer[i] = trainer->gradient[i];
    }
    return error;
}

static enum ttzo_error estimate_and_update(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                           const struct ttzo_phase *phase, struct ttzo_step_result *result)
{
    if (TTZO_HAS(EQUATIONS) && ttzo_is_gauss_newton(phase->estimator))
        return ttzo_gauss_newton(
            trainer, phase, phase->learning_rate * ttzo_rate_factor(&trainer->training, trainer->state.step), result);
    if (ttzo_has_simulation(trainer->model))
        return ttzo_identify(trainer, rows, phase, result);
    enum ttzo_error error = ttzo_estimate(trainer, rows, phase, &result->loss, &result->evaluations);
    return error ? error : take_estimate(trainer, phase, result);
}

// What a step that succeeded leaves behind, besides parameters and moments.
static void count_step(struct ttzo_trainer *trainer, uint64_t macs_before, struct ttzo_step_result *result)
{
    struct ttzo_state *state = &trainer->state;
    result->phase = state->phase;
    result->macs = trainer->macs - macs_before;
    state->step++;
    state->evaluations += result->evaluations;
    watch_plateau(trainer, result->loss);
}

enum ttzo_error ttzo_step(struct ttzo_trainer *trainer, enum ttzo_region region, struct ttzo_step_result *result,
                          uint32_t *detail)
{
    if (!trainer || !result || !detail)
        return TTZO_ERROR_NULL_POINTER;
    const struct ttzo_phase *phase = &trainer->phases[trainer->state.phase];
    const struct ttzo_rows *rows;
    uint64_t macs_before = trainer->macs;
    ttzo_abandon_step(trainer);
    *detail = trainer->state.step;
    if (trainer->state.step == UINT32_MAX)
        return TTZO_ERROR_LAST_STEP;
    enum ttzo_error error = choose_rows(trainer, region, &rows);
    if (!error)
        error = estimate_and_update(trainer, rows, phase, result);
    if (!error)
        count_step(trainer, macs_before, result);
    return error;
}

// ---- a step in slices -----------------------------------------------------------------------------------------------

struct sliced_step {
    enum ttzo_region region;
    bool complete; // the estimate
    uint64_t macs_before;
    struct ttzo_gradient_estimate estimate;
};
// TTZO_RUNNING_STEP_WORDS is too small where this does not compile.
typedef char sliced_step_fits[sizeof(struct sliced_step) <= sizeof(struct ttzo_running_step) ? 1 : -1];

// Gauss-Newton steps and identification are not cut.
static bool is_cut(const struct ttzo_trainer *trainer)
{
    return !ttzo_is_gauss_newton(trainer->phases[trainer->state.phase].estimator) &&
           !ttzo_has_simulation(trainer->model);
}

// The first slice: chooses the rows, and makes what all of them share.
static enum ttzo_error begin_slices(struct ttzo_trainer *trainer, struct sliced_step *step, enum ttzo_region region)
{
    const struct ttzo_rows *rows;
    if (trainer->state.step == UINT32_MAX)
        return TTZO_ERROR_LAST_STEP;
    enum ttzo_error error = choose_rows(trainer, region, &rows);
    if (error)
        return error;
    trainer->running_rows = rows;
    step->region = region;
    step->complete = false;
    step->macs_before = trainer->macs;
    ttzo_estimate_begin(&step->estimate, trainer, rows, &trainer->phases[trainer->state.phase]);
    return TTZO_ERROR_OK;
}

// The last slice: the update.
static enum ttzo_error end_slices(struct ttzo_trainer *trainer, struct sliced_step *step,
                                  struct ttzo_step_result *result)
{
    enum ttzo_error error = ttzo_estimate_end(&step->estimate, &result->loss, &result->evaluations);
    if (!error)
        error = take_estimate(trainer, &trainer->phases[trainer->state.phase], result);
    if (!error)
        count_step(trainer, step->macs_before, result);
    return error;
}

enum ttzo_error ttzo_step_slice(struct ttzo_trainer *trainer, struct ttzo_running_step *running,
                                enum ttzo_region region, struct ttzo_step_result *result, bool *stepped,
                                uint32_t *detail)
{
    if (!trainer || !running || !result || !stepped || !detail)
        return TTZO_ERROR_NULL_POINTER;
    struct sliced_step *step = (struct sliced_step *)(void *)&running->memory;
    bool goes_on = trainer->running == running && step->region == region;
    enum ttzo_error error;
    *detail = trainer->state.step;
    trainer->running = NULL;
    if (!is_cut(trainer)) {
        error = ttzo_step(trainer, region, result, detail);
        *stepped = !error;
        return error;
    }
    *stepped = goes_on && step->complete;
    if (!goes_on)
        error = begin_slices(trainer, step, region);
    else if (!step->complete)
        error = ttzo_estimate_next(&step->estimate, &step->complete);
    else
        error = end_slices(trainer, step, result);
    if (error)
        *stepped = false;
    else if (!*stepped)
        trainer->running = running;
    return error;
}

// ---- evaluation -----------------------------------------------------------------------------------------------------

enum ttzo_error ttzo_evaluate(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t first, uint32_t count,
                              float *loss_sum, uint32_t *n_correct, uint32_t *detail)
{
    if (!trainer || !loss_sum || !n_correct || !detail)
        return TTZO_ERROR_NULL_POINTER;
    const struct ttzo_rows *rows = rows_of(trainer, region);
    uint32_t input_bytes = ttzo_input_bytes(trainer->model);
    float sum = 0.0f;
    uint32_t hits = 0;
    *detail = first;
    if (!rows || ttzo_needs_no_rows(trainer->model) || ttzo_has_simulation(trainer->model))
        return TTZO_ERROR_BAD_REQUEST;
    if (first > rows->count || count > rows->count - first)
        return TTZO_ERROR_OUT_OF_RANGE;
    ttzo_abandon_step(trainer);
    ttzo_network_prepare(trainer, trainer->theta);
    for (uint32_t j = 0; j < count; j++) {
        const uint8_t *row = rows->bytes + (size_t)(first + j) * trainer->row_bytes;
        float *outputs = ttzo_forward(trainer, trainer->theta, row);
        hits += ttzo_row_hits(trainer->model, outputs, row + input_bytes);
        sum = sum + ttzo_row_loss(trainer->model, outputs, row + input_bytes);
        enum ttzo_error error = ttzo_still_wanted(trainer, j + 1, count);
        if (error)
            return error;
    }
    *detail = trainer->state.step;
    if (!ttzo_is_finite(sum))
        return TTZO_ERROR_NON_FINITE;
    *loss_sum = sum;
    *n_correct = hits;
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_predict(struct ttzo_trainer *trainer, uint32_t row, const float **outputs, uint32_t *detail)
{
    if (!trainer || !outputs || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = row;
    if (ttzo_has_simulation(trainer->model) ||
        ttzo_has_black_box(trainer->model)) // an answer depends on all rows before it
        return TTZO_ERROR_BAD_REQUEST;
    if (row >= trainer->batch.count)
        return TTZO_ERROR_OUT_OF_RANGE;
    ttzo_abandon_step(trainer);
    const uint8_t *inputs = trainer->batch.bytes + (size_t)row * trainer->row_bytes;
    if (ttzo_has_equation(trainer->model)) {
        ttzo_pde_solve(trainer, inputs);
        for (uint32_t o = 0; o < trainer->model->info.out_features; o++)
            trainer->base_losses[o] = ttzo_pde_solution(trainer, o); // unused between steps, and no shorter
        *outputs = trainer->base_losses;
    } else {
        ttzo_network_prepare(trainer, trainer->theta);
        *outputs = ttzo_forward(trainer, trainer->theta, inputs);
    }
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_solution_error(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t first,
                                    uint32_t count, float *squared_error, float *squared_exact, uint32_t *detail)
{
    if (!trainer || !squared_error || !squared_exact || !detail)
        return TTZO_ERROR_NULL_POINTER;
    const struct ttzo_rows *rows = rows_of(trainer, region);
    float error_sum = 0.0f, exact_sum = 0.0f;
    *detail = first;
    if (!ttzo_has_equation(trainer->model) ||
        (rows ? 0 : region != TTZO_REGION_COLLOCATION || !trainer->model->pde.info.has_exact))
        return TTZO_ERROR_BAD_REQUEST;
    if (rows ? first > rows->count || count > rows->count - first : count > UINT32_MAX - first)
        return TTZO_ERROR_OUT_OF_RANGE;
    ttzo_abandon_step(trainer);
    for (uint32_t j = 0; j < count; j++) {
        const uint8_t *row = rows ? rows->bytes + (size_t)(first + j) * trainer->row_bytes : NULL;
        if (row)
            ttzo_pde_solve(trainer, row);
        else
            ttzo_pde_validate(trainer, first + j);
        for (uint32_t o = 0; o < trainer->model->info.out_features; o++) {
            float exact =
                row ? ttzo_get_f32(row + ttzo_input_bytes(trainer->model) + 4 * (size_t)o) : ttzo_pde_exact(trainer, o);
            float difference = ttzo_pde_solution(trainer, o) - exact;
            error_sum = TTZO_MULADD(difference, difference, error_sum);
            exact_sum = TTZO_MULADD(exact, exact, exact_sum);
        }
        enum ttzo_error error = ttzo_still_wanted(trainer, j + 1, count);
        if (error)
            return error;
    }
    *detail = trainer->state.step;
    if (!ttzo_is_finite(error_sum) || !ttzo_is_finite(exact_sum))
        return TTZO_ERROR_NON_FINITE;
    *squared_error = error_sum;
    *squared_exact = exact_sum;
    return TTZO_ERROR_OK;
}
