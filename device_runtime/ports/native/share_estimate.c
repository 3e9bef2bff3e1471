// SPDX-License-Identifier: MIT
#include "share_estimate.h"

#include <stdlib.h>

#include "equations/pde.h"
#include "model/phase.h"
#include "model/threads.h"
#include "operations/graph.h"
#include "shared.h"
#include "threads.h"
#include "train/work_memory.h"
#include "ttzo.h"

// Room for what rows add to the gradient, and for directions; for each thread there is room for at least one.
#define KEPT_NUMBERS (4u << 20)

struct shared ttzo_shared = { .n = 1 };

// ---- what threads share ---------------------------------------------------------------------------------------------

enum ttzo_error ttzo_shared_error(void)
{
    return (enum ttzo_error)__atomic_load_n(&ttzo_shared.error, __ATOMIC_ACQUIRE);
}

void ttzo_shared_fail(enum ttzo_error error)
{
    uint32_t none = TTZO_ERROR_OK;
    if (error)
        __atomic_compare_exchange_n(&ttzo_shared.error, &none, (uint32_t)error, false, __ATOMIC_RELEASE,
                                    __ATOMIC_RELAXED);
}

// The poll of the copies.
static bool goes_on(void *context, uint32_t done, uint32_t total)
{
    (void)context, (void)done, (void)total;
    return !ttzo_shared_error();
}

bool ttzo_take_next(uint32_t *item)
{
    if (ttzo_shared_error()) // looked at before: who waits for an item's row waits until it is done
        return false;
    *item = __atomic_fetch_add(&ttzo_shared.next, 1, __ATOMIC_RELAXED);
    return *item < ttzo_shared.end;
}

void ttzo_share(uint32_t first, uint32_t end, void (*work)(uint32_t thread))
{
    ttzo_shared.next = first;
    ttzo_shared.end = end;
    ttzo_run_on_threads(work);
}

float *ttzo_kept_numbers(uint32_t number)
{
    return ttzo_shared.kept + (size_t)(number - ttzo_shared.first) * ttzo_shared.run->model->info.n_parameters;
}

struct range ttzo_share_of(uint32_t length, uint32_t thread)
{
    return (struct range){ (uint32_t)((uint64_t)length * thread / ttzo_shared.n),
                           (uint32_t)((uint64_t)length * (thread + 1) / ttzo_shared.n) };
}

// ---- copies of the trainer ------------------------------------------------------------------------------------------

static bool make_worker(struct worker *worker, struct ttzo_trainer *run, bool is_first)
{
    worker->trainer = run;
    if (is_first)
        return true;
    struct ttzo_trainer *copy = malloc(sizeof *copy);
    uint32_t bytes = run->work_bytes + (run->pde.shared ? ttzo_pde_spare_bytes(run->model) : 0);
    void *work = calloc(bytes, 1);
    if (!copy || !work)
        return false;
    *copy = *run;
    copy->work_capacity = bytes;
    ttzo_carve_work(copy, work);
    worker->base_losses = copy->base_losses;
    copy->theta = run->theta, copy->moments = run->moments;
    copy->batch_rows = run->batch_rows, copy->differences = run->differences;
    copy->poll = goes_on;
    copy->macs = 0;
    worker->trainer = copy;
    return true;
}

bool ttzo_lend_threads(struct ttzo_trainer *trainer, uint32_t n)
{
    uint32_t batch = trainer->model->info.batch, parameters = trainer->model->info.n_parameters;
    uint32_t queries = ttzo_difference_capacity(trainer->model), wanted = queries > batch ? queries : batch;
    uint32_t room = parameters ? KEPT_NUMBERS / parameters : 0, most = room > n ? room : n;
    ttzo_shared.run = trainer;
    ttzo_shared.kept_at_once = most < wanted ? most : wanted;
    ttzo_shared.kept = calloc((size_t)ttzo_shared.kept_at_once * parameters, sizeof *ttzo_shared.kept);
    ttzo_shared.losses = calloc(batch, sizeof *ttzo_shared.losses);
    ttzo_shared.workers = calloc(n, sizeof *ttzo_shared.workers);
    ttzo_shared.passed = calloc(batch, sizeof *ttzo_shared.passed);
    ttzo_shared.differences = calloc(batch, sizeof *ttzo_shared.differences);
    if (!ttzo_shared.kept || !ttzo_shared.losses || !ttzo_shared.workers || !ttzo_shared.passed ||
        !ttzo_shared.differences)
        return false;
    for (uint32_t t = 0; t < n; t++)
        if (!make_worker(&ttzo_shared.workers[t], trainer, t == 0))
            return false;
    ttzo_shared.n = n;
    return ttzo_start_threads(n);
}

void ttzo_renew_copies(float *base_losses)
{
    for (uint32_t t = 1; t < ttzo_shared.n; t++) {
        struct ttzo_trainer *copy = ttzo_shared.workers[t].trainer;
        copy->training = ttzo_shared.run->training;
        copy->state = ttzo_shared.run->state;
        for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
            copy->phases[p] = ttzo_shared.run->phases[p];
        copy->gradient = copy->perturbed;
        copy->base_losses = base_losses ? base_losses : ttzo_shared.workers[t].base_losses;
    }
}

void ttzo_collect_macs(void)
{
    for (uint32_t t = 1; t < ttzo_shared.n; t++) {
        ttzo_shared.run->macs += ttzo_shared.workers[t].trainer->macs;
        ttzo_shared.workers[t].trainer->macs = 0;
    }
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

// Whether nodes of a graph whose units are asked share parameters: a row then adds to them more than once.
static bool has_shared_nodes(const struct ttzo_model *model)
{
    for (uint32_t i = 0; ttzo_is_graph(model) && i < model->graph.info.n_nodes; i++)
        if (ttzo_node_at(&model->graph, i).flags & TTZO_NODE_FLAG_SHARED)
            return true;
    return false;
}

static bool takes_one_thread(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    return ttzo_shared.n == 1 || model->info.batch == 1 || ttzo_has_black_box(model) ||
           phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE ||
           (phase->estimator == TTZO_ESTIMATOR_NODE_CGE && has_shared_nodes(model));
}

bool ttzo_share_estimate(struct ttzo_trainer *trainer, const struct ttzo_rows *rows, const struct ttzo_phase *phase,
                         float *loss, uint32_t *evaluations, enum ttzo_error *error)
{
    if (trainer != ttzo_shared.run || takes_one_thread(trainer->model, phase))
        return false;
    ttzo_shared.rows = rows;
    ttzo_shared.phase = phase;
    ttzo_shared.error = TTZO_ERROR_OK;
    *error = ttzo_estimator_reuses(phase->estimator) ? ttzo_share_rows(loss, evaluations)
                                                     : ttzo_share_evaluations(loss, evaluations);
    return true;
}
