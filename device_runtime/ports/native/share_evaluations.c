// SPDX-License-Identifier: MIT
// Estimators by whole evaluations of the loss: each thread answers whole queries, or rows of one.
#include "equations/derive.h"
#include "network/network.h"
#include "number/random.h"
#include "number/real.h"
#include "shared.h"
#include "threads.h"

// ---- one evaluation, by rows ----------------------------------------------------------------------------------------

// Evaluations of a query.
static uint32_t sides(void)
{
    return ttzo_shared.phase->difference == TTZO_DIFFERENCE_ANTITHETIC ? 2 : 1;
}

static void take_evaluations(struct worker *worker)
{
    worker->estimate.reuses = false;
    worker->estimate.by.evaluations = ttzo_shared.evaluations;
    worker->estimate.by.evaluations.trainer = worker->trainer;
}

// Rows of the evaluation under way, whose first one is done.
static void answer_rows_of_evaluation(uint32_t thread)
{
    struct worker *worker = &ttzo_shared.workers[thread];
    struct ttzo_evaluations *own = &worker->estimate.by.evaluations;
    bool complete;
    take_evaluations(worker);
    if (thread > 0) { // what the first thread has made when the evaluation began
        ttzo_network_prepare(worker->trainer, own->parameters);
        if (ttzo_has_equation(worker->trainer->model))
            ttzo_hold_cores(worker->trainer, own->parameters);
    }
    for (uint32_t row; ttzo_take_next(&row);) {
        own->row = row;
        own->sum = 0.0f;
        ttzo_shared_fail(ttzo_estimate_next(&worker->estimate, &complete));
        ttzo_shared.differences[row] = own->sum;
    }
}

// The next evaluation. The first thread alone does its first row, after the parameters, and its last one, before the end.
static enum ttzo_error share_evaluation(struct ttzo_gradient_estimate *whole)
{
    struct ttzo_evaluations *e = &whole->by.evaluations;
    uint32_t last = ttzo_shared.run->model->info.batch - 1, number = e->done;
    bool complete;
    enum ttzo_error error = ttzo_estimate_next(whole, &complete);
    if (last < 3) {
        while (!error && e->done == number)
            error = ttzo_estimate_next(whole, &complete);
        return error;
    }
    ttzo_shared.evaluations = *e;
    ttzo_share(1, last, answer_rows_of_evaluation);
    for (uint32_t j = 1; j < last; j++)
        e->sum = e->sum + ttzo_shared.differences[j];
    e->row = last;
    return ttzo_shared_error() ? ttzo_shared_error() : ttzo_estimate_next(whole, &complete);
}

// ---- queries --------------------------------------------------------------------------------------------------------

static bool keeps_directions(uint32_t queries)
{
    return ttzo_shared.phase->estimator == TTZO_ESTIMATOR_RGE && queries <= ttzo_shared.kept_at_once;
}

static void keep_direction(uint32_t query)
{
    uint32_t n = ttzo_shared.run->model->info.n_parameters;
    float *direction = ttzo_kept_numbers(query);
    for (uint32_t i = 0; i < n; i++)
        direction[i] = 0.0f;
    ttzo_direction_add(direction, direction, 1.0f, n, (enum ttzo_direction)ttzo_shared.phase->direction,
                       ttzo_shared.run->training.seed, ttzo_shared.run->state.step, query);
}

static void answer_queries(uint32_t thread)
{
    struct worker *worker = &ttzo_shared.workers[thread];
    struct ttzo_trainer *trainer = worker->trainer;
    struct ttzo_evaluations *own = &worker->estimate.by.evaluations;
    bool complete;
    take_evaluations(worker);
    for (uint32_t query; ttzo_take_next(&query);) {
        enum ttzo_error error = TTZO_ERROR_OK;
        // a coordinate is moved beside the one before it, which another thread may have moved
        for (uint32_t i = 0; i < trainer->model->info.n_parameters && trainer->perturbed != trainer->gradient; i++)
            trainer->perturbed[i] = trainer->theta[i];
        own->done = 1 + sides() * query;
        while (!error && own->done < 1 + sides() * (query + 1))
            error = ttzo_estimate_next(&worker->estimate, &complete);
        ttzo_shared_fail(error);
        if (keeps_directions(ttzo_shared.end))
            keep_direction(query);
    }
}

// Each thread its share of the coordinates of what ttzo_estimate_end makes.
static void add_directions(uint32_t thread)
{
    float scale = 1.0f / ((float)(sides() * ttzo_shared.phase->n_queries) * ttzo_shared.phase->perturb_radius);
    float *gradient = ttzo_shared.run->gradient;
    struct range of = ttzo_share_of(ttzo_shared.run->model->info.n_parameters, thread);
    for (uint32_t i = of.first; i < of.end; i++)
        gradient[i] = 0.0f;
    for (uint32_t query = 0; query < ttzo_shared.end; query++) {
        float factor = ttzo_shared.run->differences[query] * scale;
        const float *direction = ttzo_kept_numbers(query);
        for (uint32_t i = of.first; i < of.end; i++)
            gradient[i] = TTZO_MULADD(factor, direction[i], gradient[i]);
    }
}

// The evaluations after that at theta.
static enum ttzo_error share_queries(struct ttzo_gradient_estimate *whole, uint32_t queries)
{
    struct ttzo_evaluations *e = &whole->by.evaluations;
    ttzo_renew_copies(NULL);
    for (uint32_t t = 1; t < ttzo_shared.n; t++) {
        struct ttzo_trainer *copy = ttzo_shared.workers[t].trainer;
        if (ttzo_shared.phase->estimator == TTZO_ESTIMATOR_CGE_PLAIN)
            copy->gradient = ttzo_shared.run->gradient;
        for (uint32_t j = 0; j < copy->model->info.batch; j++)
            copy->base_losses[j] = ttzo_shared.run->base_losses[j];
    }
    ttzo_shared.evaluations = *e;
    ttzo_shared.first = 0;
    ttzo_share(0, queries, answer_queries);
    e->done = e->total;
    return ttzo_shared_error();
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

// The losses at theta by rows, then queries; or the rows of a query after the other where there are fewer queries than
// threads.
enum ttzo_error ttzo_share_evaluations(float *loss, uint32_t *evaluations)
{
    struct ttzo_gradient_estimate whole;
    struct ttzo_evaluations *e = &whole.by.evaluations;
    ttzo_estimate_begin(&whole, ttzo_shared.run, ttzo_shared.rows, ttzo_shared.phase);
    ttzo_renew_copies(ttzo_shared.run->base_losses);
    enum ttzo_error error = share_evaluation(&whole);
    uint32_t queries = (e->total - 1) / sides();
    bool by_queries = queries >= ttzo_shared.n;
    if (!error && by_queries)
        error = share_queries(&whole, queries);
    while (!error && e->done < e->total)
        error = share_evaluation(&whole);
    ttzo_collect_macs();
    if (error || !by_queries || !keeps_directions(queries))
        return error ? error : ttzo_estimate_end(&whole, loss, evaluations);
    ttzo_run_on_threads(add_directions);
    *loss = e->loss;
    *evaluations = e->done;
    return TTZO_ERROR_OK;
}
