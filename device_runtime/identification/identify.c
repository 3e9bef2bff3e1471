// SPDX-License-Identifier: MIT
#include "identification/identify.h"

#include "identification/normal_equations.h"
#include "identification/simulate.h"
#include "number/random.h"
#include "number/real.h"

#define LEAST_RIDGE 1e-5f // float32's normal equations hold no less
#define LARGEST_RIDGE 1e6f
#define FALLS 0.1f // the ridge's factor after a sweep that lowers the cost, and one over it after another

static float *place(struct ttzo_fit *fit, enum ttzo_identification which)
{
    return &fit->places[which];
}

static float *running(struct ttzo_fit *fit, enum ttzo_sweep_sum which)
{
    return &fit->running[ttzo_packed(fit->n_unknowns) + fit->n_unknowns + which];
}

static uint32_t sums_count(const struct ttzo_fit *fit)
{
    return ttzo_packed(fit->n_unknowns) + fit->n_unknowns + TTZO_SWEEP_SUMS;
}

static void copy(float *to, const float *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = from[i];
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// One measured column of a fitted row into the sums.
static void fit_number(struct ttzo_fit *fit, uint32_t y)
{
    uint32_t n = fit->n_unknowns, at = 0;
    float per_mu = 1.0f / fit->phase->perturb_radius, r = fit->row[0];
    float *column = fit->row + 1, *gradient = fit->running + ttzo_packed(n);
    for (uint32_t i = 0; i < n; i++)
        column[i] = (column[i] - r) * per_mu;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j <= i; j++, at++)
            fit->running[at] = TTZO_MULADD(column[i], column[j], fit->running[at]);
        gradient[i] = TTZO_MULADD(column[i], r, gradient[i]);
    }
    *running(fit, TTZO_SWEEP_SUM_SQUARES) = TTZO_MULADD(r, r, *running(fit, TTZO_SWEEP_SUM_SQUARES));
    *running(fit, TTZO_SWEEP_SUM_COUNT) += 1.0f;
    if (*place(fit, TTZO_IDENTIFICATION_LAG_KNOWN) > 0.0f) {
        *running(fit, TTZO_SWEEP_SUM_LAG) = TTZO_MULADD(r, fit->residuals[y], *running(fit, TTZO_SWEEP_SUM_LAG));
        *running(fit, TTZO_SWEEP_SUM_LAG_COUNT) += 1.0f;
    }
    fit->residuals[y] = r;
}

static void hold_number(struct ttzo_fit *fit)
{
    float r = fit->row[0], *squares = running(fit, TTZO_SWEEP_SUM_HELD_SQUARES);
    *squares = TTZO_MULADD(r, r, *squares);
    *running(fit, TTZO_SWEEP_SUM_HELD_COUNT) += 1.0f;
}

static bool are_finite(const float *numbers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!ttzo_is_finite(numbers[i]))
            return false;
    return true;
}

static void clear(float *numbers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = 0.0f;
}

// A sweep whose states or sums leave the finite numbers is given up; moments stay finite, so that they can be saved.
static void notice_divergence(struct ttzo_fit *fit)
{
    uint32_t states = (fit->n_unknowns + 1) * fit->n_states;
    if (are_finite(fit->states, states) && are_finite(fit->running, sums_count(fit)) &&
        are_finite(fit->residuals, fit->n_measured))
        return;
    *place(fit, TTZO_IDENTIFICATION_DIVERGED) = 1.0f;
    clear(fit->states, states);
    clear(fit->running, sums_count(fit));
    clear(fit->residuals, fit->n_measured);
}

// A row of the log: kind, time since the row before, inputs, measured numbers, all float32.
static void read_row(struct ttzo_fit *fit, const uint8_t *row)
{
    float kind = ttzo_get_f32(row), time = ttzo_get_f32(row + 4), inputs[TTZO_MAX_LOG_INPUTS];
    const uint8_t *measured = row + 8 + 4 * fit->n_inputs;
    for (uint32_t i = 0; i < fit->n_inputs; i++)
        inputs[i] = ttzo_get_f32(row + 8 + 4 * i);
    *place(fit, TTZO_IDENTIFICATION_ROW) += 1.0f;
    if (*place(fit, TTZO_IDENTIFICATION_DIVERGED) > 0.0f)
        return;
    if (!(time > 0.0f) || !(*place(fit, TTZO_IDENTIFICATION_RUNNING) > 0.0f)) {
        ttzo_simulate_begin(fit, inputs);
        *place(fit, TTZO_IDENTIFICATION_RUNNING) = 1.0f;
        *place(fit, TTZO_IDENTIFICATION_LAG_KNOWN) = 0.0f;
    } else {
        ttzo_simulate_advance(fit, time, inputs);
    }
    copy(fit->inputs, inputs, fit->n_inputs);
    bool fits = kind == (float)TTZO_LOG_ROW_FITTED, holds = kind == (float)TTZO_LOG_ROW_HELD_OUT;
    for (uint32_t y = 0; (fits || holds) && y < fit->n_measured; y++) {
        ttzo_simulate_measure(fit, y, inputs, ttzo_get_f32(measured + 4 * y));
        if (fits)
            fit_number(fit, y);
        else
            hold_number(fit);
    }
    *place(fit, TTZO_IDENTIFICATION_LAG_KNOWN) = fits ? 1.0f : 0.0f;
    notice_divergence(fit);
}

// ---- sweeps ---------------------------------------------------------------------------------------------------------

static void begin_sweep(struct ttzo_fit *fit)
{
    clear(fit->running, sums_count(fit));
    *place(fit, TTZO_IDENTIFICATION_ROW) = 0.0f;
    *place(fit, TTZO_IDENTIFICATION_RUNNING) = 0.0f;
    *place(fit, TTZO_IDENTIFICATION_LAG_KNOWN) = 0.0f;
    *place(fit, TTZO_IDENTIFICATION_DIVERGED) = 0.0f;
}

// A sweep without a fitted row says nothing.
static bool sweep_counts(struct ttzo_fit *fit, float cost)
{
    return !(*place(fit, TTZO_IDENTIFICATION_DIVERGED) > 0.0f) && ttzo_is_finite(cost) &&
           *running(fit, TTZO_SWEEP_SUM_COUNT) > 0.0f;
}

// Takes the candidate over where its cost is lower; the ridge follows.
static void judge(struct ttzo_fit *fit)
{
    float cost = *running(fit, TTZO_SWEEP_SUM_SQUARES) + ttzo_fit_prior_cost(fit, fit->candidate);
    float *ridge = place(fit, TTZO_IDENTIFICATION_RIDGE), *at_theta = place(fit, TTZO_IDENTIFICATION_COST);
    bool known = *place(fit, TTZO_IDENTIFICATION_KNOWN) > 0.0f, finite = sweep_counts(fit, cost);
    bool better = finite && (!known || cost < *at_theta);
    *place(fit, TTZO_IDENTIFICATION_OUTCOME) = better ? 1.0f : finite ? 0.0f : -1.0f;
    *place(fit, TTZO_IDENTIFICATION_SWEEPS) += 1.0f;
    *place(fit, TTZO_IDENTIFICATION_TRIES) += 1.0f;
    if (known)
        *ridge = better ? *ridge * FALLS : *ridge * (1.0f / FALLS);
    *ridge = *ridge < LEAST_RIDGE ? LEAST_RIDGE : *ridge > LARGEST_RIDGE ? LARGEST_RIDGE : *ridge;
    if (!better)
        return;
    *place(fit, TTZO_IDENTIFICATION_FALL) = known ? *at_theta - cost : cost;
    *at_theta = cost;
    *place(fit, TTZO_IDENTIFICATION_KNOWN) = 1.0f;
    copy(fit->theta, fit->candidate, fit->n_unknowns);
    copy(fit->accepted, fit->running, sums_count(fit));
}

// What the running start has reached, if no earlier one has reached more.
static void remember_start(struct ttzo_fit *fit)
{
    float cost = *place(fit, TTZO_IDENTIFICATION_COST), *best = place(fit, TTZO_IDENTIFICATION_BEST_COST);
    float *has_best = place(fit, TTZO_IDENTIFICATION_HAS_BEST);
    if (!(*place(fit, TTZO_IDENTIFICATION_KNOWN) > 0.0f) || (*has_best > 0.0f && !(cost < *best)))
        return;
    *has_best = 1.0f;
    *best = cost;
    copy(fit->best, fit->theta, fit->n_unknowns);
}

static void begin_at_candidate(struct ttzo_fit *fit)
{
    ttzo_fit_clamp(fit, fit->candidate);
    *place(fit, TTZO_IDENTIFICATION_RIDGE) = fit->phase->ridge;
    *place(fit, TTZO_IDENTIFICATION_KNOWN) = 0.0f;
    *place(fit, TTZO_IDENTIFICATION_TRIES) = 0.0f;
}

// The next candidate: of the next start, the best of all starts, or a step from theta. False when all starts diverge.
static bool choose_candidate(struct ttzo_fit *fit, float *length)
{
    const struct ttzo_model *model = fit->trainer->model;
    const struct ttzo_simulation_info *info = &model->simulation.info;
    float *start = place(fit, TTZO_IDENTIFICATION_START), n_starts = (float)info->n_starts;
    bool known = *place(fit, TTZO_IDENTIFICATION_KNOWN) > 0.0f;
    *length = 0.0f;
    if (*start < n_starts && (!known || *place(fit, TTZO_IDENTIFICATION_TRIES) >= (float)info->tries)) {
        remember_start(fit);
        *start += 1.0f;
        if (*start < n_starts) {
            ttzo_direction_add(fit->candidate, model->parameters, info->spread, fit->n_unknowns,
                               TTZO_DIRECTION_GAUSSIAN, fit->trainer->training.seed, 0, (uint32_t)*start);
            begin_at_candidate(fit);
            return true;
        }
        if (!(*place(fit, TTZO_IDENTIFICATION_HAS_BEST) > 0.0f))
            return false;
        if (!known || *place(fit, TTZO_IDENTIFICATION_BEST_COST) < *place(fit, TTZO_IDENTIFICATION_COST)) {
            copy(fit->candidate, fit->best, fit->n_unknowns);
            begin_at_candidate(fit);
            return true;
        }
    }
    if (!known)
        return false;
    *length = ttzo_fit_propose(fit);
    return true;
}

// The log is over: what is known of the unknowns becomes what later logs begin with, `factor` times as heavy.
static void end_log(struct ttzo_fit *fit, float factor)
{
    if (*place(fit, TTZO_IDENTIFICATION_KNOWN) > 0.0f) {
        for (uint32_t i = 0; i < ttzo_packed(fit->n_unknowns); i++)
            fit->prior[i] = factor * (fit->accepted[i] + fit->prior[i]);
        copy(fit->prior_theta, fit->theta, fit->n_unknowns);
        *place(fit, TTZO_IDENTIFICATION_LOGS) += 1.0f;
    }
    copy(fit->candidate, fit->theta, fit->n_unknowns);
    begin_at_candidate(fit);
    *place(fit, TTZO_IDENTIFICATION_START) = (float)fit->trainer->model->simulation.info.n_starts;
    *place(fit, TTZO_IDENTIFICATION_HAS_BEST) = 0.0f;
    begin_sweep(fit);
}

// ---- the step -------------------------------------------------------------------------------------------------------

static float mean_square(struct ttzo_fit *fit)
{
    float count = *running(fit, TTZO_SWEEP_SUM_COUNT), mean = *running(fit, TTZO_SWEEP_SUM_SQUARES) / count;
    return count > 0.0f && ttzo_is_finite(mean) ? mean : 0.0f;
}

// Reads rows up to the end of a batch, of the sweep or of the log.
static enum ttzo_error read_rows(struct ttzo_fit *fit, const struct ttzo_rows *rows, struct ttzo_step_result *result)
{
    struct ttzo_trainer *trainer = fit->trainer;
    uint32_t batch = trainer->model->info.batch;
    bool stays = rows == &trainer->dataset;
    for (uint32_t j = 0; j < batch; j++) {
        uint32_t index = stays ? (uint32_t)*place(fit, TTZO_IDENTIFICATION_ROW) : j;
        const uint8_t *row = rows->bytes + (size_t)(index < rows->count ? index : 0) * trainer->row_bytes;
        float kind = index < rows->count ? ttzo_get_f32(row) : (float)TTZO_LOG_ROW_END_OF_SWEEP;
        if (kind == (float)TTZO_LOG_ROW_END_OF_LOG) {
            end_log(fit, ttzo_get_f32(row + 4));
            return TTZO_ERROR_OK;
        }
        if (kind == (float)TTZO_LOG_ROW_END_OF_SWEEP && !(*place(fit, TTZO_IDENTIFICATION_ROW) > 0.0f))
            return TTZO_ERROR_OK;
        if (kind == (float)TTZO_LOG_ROW_END_OF_SWEEP) {
            result->loss = mean_square(fit);
            judge(fit);
            if (!choose_candidate(fit, &result->gradient_norm))
                return TTZO_ERROR_NON_FINITE;
            begin_sweep(fit);
            return TTZO_ERROR_OK;
        }
        read_row(fit, row);
        trainer->macs += fit->work;
        fit->work = 0;
        enum ttzo_error error = ttzo_still_wanted(trainer, j + 1, batch);
        if (error)
            return error;
    }
    result->loss = mean_square(fit);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_identify(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase, struct ttzo_step_result *result)
{
    struct ttzo_fit fit;
    ttzo_fit_open(&fit, trainer, phase);
    if (!(*place(&fit, TTZO_IDENTIFICATION_BEGUN) > 0.0f)) {
        copy(fit.candidate, fit.theta, fit.n_unknowns);
        begin_at_candidate(&fit);
        *place(&fit, TTZO_IDENTIFICATION_BEGUN) = 1.0f;
    }
    ttzo_simulate_values(&fit);
    result->loss = result->gradient_norm = 0.0f;
    result->evaluations = 1 + fit.n_unknowns;
    enum ttzo_error error = read_rows(&fit, rows, result);
    if (error)
        return error;
    copy(trainer->theta, fit.theta, fit.n_unknowns);
    copy(trainer->moments, trainer->simulation, trainer->n_moments);
    return TTZO_ERROR_OK;
}
