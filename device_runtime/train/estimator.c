// SPDX-License-Identifier: MIT
#include "train/estimator.h"

#include "network/loss.h"
#include "operations/graph.h"
#include "equations/derive.h"
#include "equations/pde.h"
#include "number/random.h"
#include "number/real.h"
#include "model/ask_box.h"
#include "model/phase.h"
#include "model/threads.h"

// ---- loss evaluations -----------------------------------------------------------------------------------------------

// The losses of a batch are kept row by row: a difference of two evaluations is taken row by row and averaged, which
// loses less to rounding than the difference of two means.

// The loss of row j of the batch.
static float row_loss(const struct ttzo_evaluations *e, const float *theta, uint32_t j)
{
    struct ttzo_trainer *trainer = e->trainer;
    const struct ttzo_model *model = trainer->model;
    if (ttzo_has_black_box(model)) {
        float given = trainer->box_losses[j];
        return model->box.gives_residuals ? given * given : given;
    }
    if (ttzo_has_equation(model)) {
        float residual = ttzo_pde_residual(trainer, theta, j);
        return residual * residual;
    }
    const uint8_t *row = e->rows->bytes + (size_t)trainer->batch_rows[j] * trainer->row_bytes;
    float *outputs = ttzo_forward(trainer, theta, row);
    return ttzo_row_loss(model, outputs, row + ttzo_input_bytes(model));
}

static bool takes_coordinates(const struct ttzo_evaluations *e)
{
    return e->phase->estimator == TTZO_ESTIMATOR_CGE_PLAIN;
}

static bool is_antithetic(const struct ttzo_evaluations *e)
{
    return e->phase->difference == TTZO_DIFFERENCE_ANTITHETIC;
}

// Whether the running evaluation's losses are those that queries are compared with: at theta, or theta - mu v.
static bool is_base(const struct ttzo_evaluations *e)
{
    return e->done == 0 || (is_antithetic(e) && e->done % 2 == 1);
}

// The query that the running evaluation, which is not the first, belongs to.
static uint32_t query_of(const struct ttzo_evaluations *e)
{
    return (e->done - 1) / (is_antithetic(e) ? 2 : 1);
}

// trainer->perturbed = theta + step e_i; there was coordinate i - 1 before, or i itself.
static void move_coordinate(struct ttzo_trainer *trainer, uint32_t i, float step)
{
    if (i == 0)
        for (uint32_t k = 0; k < trainer->model->info.n_parameters; k++)
            trainer->perturbed[k] = trainer->theta[k];
    else
        trainer->perturbed[i - 1] = trainer->theta[i - 1];
    trainer->perturbed[i] = trainer->theta[i] + step;
}

// The parameters of the running evaluation.
static const float *choose_parameters(const struct ttzo_evaluations *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    if (e->done == 0)
        return trainer->theta;
    float step = is_base(e) ? -e->phase->perturb_radius : e->phase->perturb_radius;
    if (takes_coordinates(e))
        move_coordinate(trainer, query_of(e), step);
    else
        ttzo_direction_add(trainer->perturbed, trainer->theta, step, trainer->model->info.n_parameters,
                           (enum ttzo_direction)e->phase->direction, trainer->training.seed, trainer->state.step,
                           query_of(e));
    return trainer->perturbed;
}

static void begin_evaluation(struct ttzo_evaluations *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    e->parameters = choose_parameters(e);
    e->sum = 0.0f;
    if (ttzo_has_black_box(trainer->model))
        ttzo_ask_box(trainer, e->parameters);
    if (ttzo_has_equation(trainer->model))
        ttzo_hold_cores(trainer, e->parameters);
    trainer->macs += ttzo_network_prepare(trainer, e->parameters) + trainer->model->info.batch * trainer->macs_per_row;
}

static float mean(const float *losses, uint32_t n)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = sum + losses[j];
    return sum * (1.0f / (float)n);
}

// After the last row: the loss at theta, or the difference of a query.
static enum ttzo_error end_evaluation(struct ttzo_evaluations *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    uint32_t number = e->done, batch = trainer->model->info.batch;
    bool base = is_base(e);
    float mu = e->phase->perturb_radius,
          found = number == 0 ? mean(trainer->base_losses, batch) : e->sum * (1.0f / (float)batch);
    if (number == 0)
        e->loss = found;
    else if (!base && takes_coordinates(e))
        trainer->gradient[query_of(e)] = found * (1.0f / (is_antithetic(e) ? 2.0f * mu : mu));
    else if (!base)
        trainer->differences[query_of(e)] = found;
    e->row = 0;
    e->done++;
    enum ttzo_error error = ttzo_still_wanted(trainer, e->done, e->total);
    if (error)
        return error;
    return (base && number > 0) || ttzo_is_finite(found) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}

static void evaluations_begin(struct ttzo_evaluations *e, struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase)
{
    *e = (struct ttzo_evaluations){ .trainer = trainer, .rows = rows, .phase = phase };
    uint32_t queries = takes_coordinates(e) ? trainer->model->info.n_parameters : phase->n_queries;
    e->total = 1 + (is_antithetic(e) ? 2 : 1) * queries;
}

// One row of one evaluation.
static enum ttzo_error evaluations_next(struct ttzo_evaluations *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    if (e->row == 0)
        begin_evaluation(e);
    float loss = row_loss(e, e->parameters, e->row);
    if (is_base(e))
        trainer->base_losses[e->row] = loss;
    else
        e->sum = e->sum + (loss - trainer->base_losses[e->row]);
    return ++e->row < trainer->model->info.batch ? TTZO_ERROR_OK : end_evaluation(e);
}

// The gradient of random directions may lie where the queries' parameters were, so that it is made when all are
// answered; a coordinate's derivative stands in it already.
static enum ttzo_error evaluations_end(const struct ttzo_evaluations *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    const struct ttzo_phase *phase = e->phase;
    uint32_t n = trainer->model->info.n_parameters;
    enum ttzo_error error = TTZO_ERROR_OK;
    if (takes_coordinates(e))
        return error;
    float scale = 1.0f / ((float)(is_antithetic(e) ? 2 * phase->n_queries : phase->n_queries) * phase->perturb_radius);
    for (uint32_t i = 0; i < n; i++)
        trainer->gradient[i] = 0.0f;
    for (uint32_t q = 0; q < phase->n_queries && !error; q++) {
        ttzo_direction_add(trainer->gradient, trainer->gradient, trainer->differences[q] * scale, n,
                           (enum ttzo_direction)phase->direction, trainer->training.seed, trainer->state.step, q);
        error = ttzo_still_wanted(trainer, e->done, e->total); // a watchdog does not wait for many directions
    }
    return error;
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

void ttzo_estimate_begin(struct ttzo_gradient_estimate *estimate, struct ttzo_trainer *trainer,
                         const struct ttzo_rows *rows, const struct ttzo_phase *phase)
{
    estimate->reuses = ttzo_estimator_reuses(phase->estimator);
    if (estimate->reuses)
        ttzo_row_estimate_begin(&estimate->by.rows, trainer, rows, phase);
    else if (TTZO_HAS(EVALUATIONS))
        evaluations_begin(&estimate->by.evaluations, trainer, rows, phase);
}

enum ttzo_error ttzo_estimate_next(struct ttzo_gradient_estimate *estimate, bool *complete)
{
    enum ttzo_error error = TTZO_ERROR_NOT_BUILT_IN; // never: ttzo_read_bundle has refused the model
    if (estimate->reuses) {
        error = ttzo_row_estimate_next(&estimate->by.rows);
        *complete = ttzo_row_estimate_is_complete(&estimate->by.rows);
    } else if (TTZO_HAS(EVALUATIONS)) {
        error = evaluations_next(&estimate->by.evaluations);
        *complete = estimate->by.evaluations.done == estimate->by.evaluations.total;
    }
    return error;
}

enum ttzo_error ttzo_estimate_end(struct ttzo_gradient_estimate *estimate, float *loss, uint32_t *evaluations)
{
    if (estimate->reuses)
        return ttzo_row_estimate_end(&estimate->by.rows, loss, evaluations);
    if (!TTZO_HAS(EVALUATIONS))
        return TTZO_ERROR_NOT_BUILT_IN;
    enum ttzo_error error = evaluations_end(&estimate->by.evaluations);
    *loss = estimate->by.evaluations.loss;
    *evaluations = estimate->by.evaluations.done;
    return error;
}

enum ttzo_error ttzo_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    struct ttzo_gradient_estimate estimate;
    enum ttzo_error error = TTZO_ERROR_OK;
    if (ttzo_share_estimate(trainer, rows, phase, loss, evaluations, &error))
        return error;
    ttzo_estimate_begin(&estimate, trainer, rows, phase);
    for (bool complete = false; !complete && !error;)
        error = ttzo_estimate_next(&estimate, &complete);
    return error ? error : ttzo_estimate_end(&estimate, loss, evaluations);
}
