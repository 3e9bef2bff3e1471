// SPDX-License-Identifier: MIT
#include "train/estimator.h"

#include "cores/row_estimate.h"
#include "network/loss.h"
#include "operations/graph.h"
#include "equations/pde.h"
#include "number/random.h"
#include "number/real.h"
#include "model/phase.h"

// ---- loss evaluations -----------------------------------------------------------------------------------------------

// One estimate under way. The losses of a batch are kept row by row: a difference of two evaluations is taken row by
// row and averaged, which loses less to rounding than the difference of two means.
struct estimate {
    struct ttzo_trainer *trainer;
    const struct ttzo_rows *rows;
    const struct ttzo_phase *phase;
    uint32_t done, total; // loss evaluations
};

// The loss of row j of the batch.
static float row_loss(const struct estimate *e, const float *theta, uint32_t j)
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

// A function of its own, so that the stack check knows what its pointer reaches.
__attribute__((noinline)) static void call_black_box(const struct ttzo_trainer *trainer, const float *theta)
{
    const struct ttzo_box *box = &trainer->model->box;
    box->ask(box->context, theta, trainer->box_losses);
}

static void begin_evaluation(struct estimate *e, const float *theta)
{
    struct ttzo_trainer *trainer = e->trainer;
    if (ttzo_has_black_box(trainer->model))
        call_black_box(trainer, theta);
    trainer->macs += ttzo_network_prepare(trainer, theta) + trainer->model->info.batch * trainer->macs_per_row;
    e->done++;
}

// The rows' losses at `theta` into base_losses.
static enum ttzo_error evaluate(struct estimate *e, const float *theta)
{
    begin_evaluation(e, theta);
    for (uint32_t j = 0; j < e->trainer->model->info.batch; j++)
        e->trainer->base_losses[j] = row_loss(e, theta, j);
    return ttzo_still_wanted(e->trainer, e->done, e->total);
}

static float mean(const float *losses, uint32_t n)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = sum + losses[j];
    return sum * (1.0f / (float)n);
}

// The difference of a query: the losses at trainer->perturbed against those in base_losses.
static enum ttzo_error query(struct estimate *e, float *difference)
{
    struct ttzo_trainer *trainer = e->trainer;
    uint32_t batch = trainer->model->info.batch;
    float sum = 0.0f;
    begin_evaluation(e, trainer->perturbed);
    for (uint32_t j = 0; j < batch; j++)
        sum = sum + (row_loss(e, trainer->perturbed, j) - trainer->base_losses[j]);
    *difference = sum * (1.0f / (float)batch);
    enum ttzo_error error = ttzo_still_wanted(e->trainer, e->done, e->total);
    if (error)
        return error;
    return ttzo_is_finite(*difference) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}

// ---- random directions ----------------------------------------------------------------------------------------------

static enum ttzo_error random_gradient(struct estimate *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    const struct ttzo_phase *phase = e->phase;
    uint32_t n = trainer->model->info.n_parameters, step = trainer->state.step;
    uint64_t seed = trainer->training.seed;
    enum ttzo_direction kind = (enum ttzo_direction)phase->direction;
    bool antithetic = phase->difference == TTZO_DIFFERENCE_ANTITHETIC;
    float mu = phase->perturb_radius;
    float scale = 1.0f / ((float)(antithetic ? 2 * phase->n_queries : phase->n_queries) * mu);

    for (uint32_t q = 0; q < phase->n_queries; q++) {
        enum ttzo_error error;
        if (antithetic) { // base_losses: at theta - mu v
            ttzo_direction_add(trainer->perturbed, trainer->theta, -mu, n, kind, seed, step, q);
            if ((error = evaluate(e, trainer->perturbed)))
                return error;
        }
        ttzo_direction_add(trainer->perturbed, trainer->theta, mu, n, kind, seed, step, q);
        if ((error = query(e, &trainer->differences[q])))
            return error;
    }
    // The gradient may lie where the queries' parameters were, so that it is made when all are answered.
    for (uint32_t i = 0; i < n; i++)
        trainer->gradient[i] = 0.0f;
    for (uint32_t q = 0; q < phase->n_queries; q++)
        ttzo_direction_add(trainer->gradient, trainer->gradient, trainer->differences[q] * scale, n, kind, seed, step,
                           q);
    return TTZO_ERROR_OK;
}

// ---- coordinates ----------------------------------------------------------------------------------------------------

static enum ttzo_error coordinate_gradient(struct estimate *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    uint32_t n = trainer->model->info.n_parameters;
    bool antithetic = e->phase->difference == TTZO_DIFFERENCE_ANTITHETIC;
    float mu = e->phase->perturb_radius;
    float scale = 1.0f / (antithetic ? 2.0f * mu : mu);

    for (uint32_t i = 0; i < n; i++)
        trainer->perturbed[i] = trainer->theta[i];
    for (uint32_t i = 0; i < n; i++) {
        float difference;
        enum ttzo_error error;
        if (antithetic) { // base_losses: at theta - mu e_i
            trainer->perturbed[i] = trainer->theta[i] - mu;
            if ((error = evaluate(e, trainer->perturbed)))
                return error;
        }
        trainer->perturbed[i] = trainer->theta[i] + mu;
        if ((error = query(e, &difference)))
            return error;
        trainer->perturbed[i] = trainer->theta[i];
        trainer->gradient[i] = difference * scale;
    }
    return TTZO_ERROR_OK;
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

enum ttzo_error ttzo_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                              const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    if (ttzo_estimator_reuses(phase->estimator))
        return ttzo_estimate_by_rows(trainer, rows, phase, loss, evaluations);
    if (!TTZO_HAS(EVALUATIONS)) // ttzo_read_bundle has refused the model
        return TTZO_ERROR_NOT_BUILT_IN;
    bool coordinates = phase->estimator == TTZO_ESTIMATOR_CGE_PLAIN;
    uint32_t queries = coordinates ? trainer->model->info.n_parameters : phase->n_queries;
    uint32_t sides = phase->difference == TTZO_DIFFERENCE_ANTITHETIC ? 2 : 1;
    struct estimate e = { trainer, rows, phase, 0, 1 + sides * queries };

    enum ttzo_error error = evaluate(&e, trainer->theta);
    if (error)
        return error;
    *loss = mean(trainer->base_losses, trainer->model->info.batch);
    if (!ttzo_is_finite(*loss))
        return TTZO_ERROR_NON_FINITE;
    error = coordinates ? coordinate_gradient(&e) : random_gradient(&e);
    *evaluations = e.done;
    return error;
}
