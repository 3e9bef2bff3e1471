// SPDX-License-Identifier: MIT
// Estimators that take the batch row by row: each thread answers whole rows.
#include "cores/halved_sums.h"
#include "model/threads.h"
#include "shared.h"
#include "threads.h"

static _Thread_local struct worker *in_row; // the thread's own, while a row is under way

// ---- rows in order --------------------------------------------------------------------------------------------------

void ttzo_enter_row_order(struct ttzo_trainer *trainer)
{
    uint32_t turns = 0;
    if (!in_row)
        return;
    while (in_row->row > ttzo_shared.first &&
           __atomic_load_n(&ttzo_shared.passed[in_row->row - 1], __ATOMIC_ACQUIRE) <= in_row->section)
        ttzo_wait_a_moment(&turns);
    trainer->gradient = ttzo_shared.gradient;
}

void ttzo_leave_row_order(struct ttzo_trainer *trainer)
{
    if (!in_row)
        return;
    trainer->gradient = ttzo_kept_numbers(in_row->row);
    __atomic_store_n(&ttzo_shared.passed[in_row->row], ++in_row->section, __ATOMIC_RELEASE);
}

// ---- before the rows ------------------------------------------------------------------------------------------------

static void begin_rows(uint32_t thread)
{
    struct worker *worker = &ttzo_shared.workers[thread];
    ttzo_estimate_begin(&worker->estimate, worker->trainer, ttzo_shared.rows, ttzo_shared.phase);
}

// The multiply-adds that an estimate has counted and not handed over.
static uint64_t *macs_of(struct ttzo_row_estimate *estimate)
{
    return estimate->is_graph      ? &estimate->by.graph.macs
           : estimate->is_gathered ? &estimate->by.gathered.queries.cache.macs
                                   : &estimate->by.cores.queries.scratch.macs;
}

static bool sums_by_units(const struct ttzo_row_estimate *estimate)
{
    return !estimate->is_graph && !estimate->is_gathered && ttzo_goes_by_units(&estimate->by.cores);
}

// Units' sums are the first thread's, and what all threads have begun alike counts once.
static void have_sums_in_common(void)
{
    struct ttzo_row_estimate *first = &ttzo_shared.workers[0].estimate.by.rows;
    uint32_t layers = sums_by_units(first) ? ttzo_shared.run->model->info.n_layers : 0;
    for (uint32_t t = 1; t < ttzo_shared.n; t++) {
        struct ttzo_row_estimate *estimate = &ttzo_shared.workers[t].estimate.by.rows;
        *macs_of(estimate) = 0;
        for (uint32_t l = 0; l < layers; l++) {
            struct ttzo_layer_cache *cache = &estimate->by.cores.queries.cache.layers[l];
            void *common = first->by.cores.queries.cache.layers[l].states.numbers;
            if (cache->assembled == TTZO_BY_MATRIX)
                cache->states.numbers = common;
            if (cache->assembled == TTZO_BY_HALVES) {
                struct ttzo_halved_sums *sums = cache->states.numbers, *others = common;
                sums->left = others->left, sums->right = others->right;
            }
        }
    }
}

static void list_range(uint32_t first, uint32_t end)
{
    ttzo_shared.ranges[ttzo_shared.n_ranges++] = (struct range){ first, end };
}

// Of layers whose units' sums are made in sections, the biases alone.
static void list_ranges(void)
{
    const struct ttzo_row_estimate *estimate = &ttzo_shared.workers[0].estimate.by.rows;
    const struct ttzo_model *model = ttzo_shared.run->model;
    ttzo_shared.n_ranges = 0;
    if (!sums_by_units(estimate))
        list_range(0, model->info.n_parameters);
    for (uint32_t l = 0; sums_by_units(estimate) && l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint32_t first = layer->parameter_offset, end = first + ttzo_layer_parameters(layer);
        if (estimate->by.cores.queries.cache.layers[l].assembled == TTZO_BY_SLICES)
            list_range(first, end);
        else if (layer->has_bias)
            list_range(end - layer->out_features, end);
    }
}

// ---- rows -----------------------------------------------------------------------------------------------------------

static void answer_row(struct worker *worker)
{
    struct ttzo_estimate_base *base = &worker->estimate.by.rows.by.base;
    float *numbers = ttzo_kept_numbers(worker->row);
    bool complete;
    for (uint32_t r = 0; r < ttzo_shared.n_ranges; r++)
        for (uint32_t i = ttzo_shared.ranges[r].first; i < ttzo_shared.ranges[r].end; i++)
            numbers[i] = 0.0f;
    base->done = worker->row;
    base->loss_sum = 0.0f;
    worker->section = 0;
    worker->trainer->gradient = numbers;
    in_row = worker;
    ttzo_shared_fail(ttzo_estimate_next(&worker->estimate, &complete));
    in_row = NULL;
    ttzo_shared.losses[worker->row] = base->loss_sum;
    __atomic_store_n(&ttzo_shared.passed[worker->row], UINT32_MAX, __ATOMIC_RELEASE); // also of a row that has failed
}

static void answer_rows(uint32_t thread)
{
    struct worker *worker = &ttzo_shared.workers[thread];
    while (ttzo_take_next(&worker->row))
        answer_row(worker);
}

// Each thread its share of the coordinates. Outside of its sections a row adds at most one number to a coordinate, to 0
// here: so what is added now, row after row, is what one thread adds.
static void add_rows(uint32_t thread)
{
    for (uint32_t r = 0; r < ttzo_shared.n_ranges; r++) {
        float *gradient = ttzo_shared.gradient + ttzo_shared.ranges[r].first;
        struct range of = ttzo_share_of(ttzo_shared.ranges[r].end - ttzo_shared.ranges[r].first, thread);
        for (uint32_t row = ttzo_shared.first; row < ttzo_shared.end; row++) {
            const float *numbers = ttzo_kept_numbers(row) + ttzo_shared.ranges[r].first;
            for (uint32_t i = of.first; i < of.end; i++)
                gradient[i] = gradient[i] + numbers[i];
        }
    }
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

enum ttzo_error ttzo_share_rows(float *loss, uint32_t *evaluations)
{
    struct ttzo_gradient_estimate *estimate = &ttzo_shared.workers[0].estimate;
    uint32_t batch = ttzo_shared.run->model->info.batch;
    ttzo_renew_copies(NULL);
    ttzo_run_on_threads(begin_rows);
    have_sums_in_common();
    ttzo_shared.gradient = ttzo_shared.run->gradient;
    list_ranges();
    for (uint32_t first = 0; first < batch && !ttzo_shared_error(); first += ttzo_shared.kept_at_once) {
        uint32_t left = batch - first, rows = left < ttzo_shared.kept_at_once ? left : ttzo_shared.kept_at_once;
        for (uint32_t j = first; j < first + rows; j++)
            ttzo_shared.passed[j] = 0;
        ttzo_shared.first = first;
        ttzo_share(first, first + rows, answer_rows);
        ttzo_run_on_threads(add_rows);
    }
    ttzo_shared.run->gradient = ttzo_shared.gradient;
    ttzo_collect_macs();
    if (ttzo_shared_error())
        return ttzo_shared_error();
    struct ttzo_estimate_base *base = &estimate->by.rows.by.base;
    base->done = batch;
    base->loss_sum = 0.0f;
    for (uint32_t j = 0; j < batch; j++)
        base->loss_sum = base->loss_sum + ttzo_shared.losses[j];
    return ttzo_estimate_end(estimate, loss, evaluations);
}
