// SPDX-License-Identifier: MIT
#include "cores/row_estimate.h"

#include "cores/core_gradient.h"
#include "model/phase.h"
#include "network/gathered_layer.h"
#include "number/real.h"

uint64_t ttzo_row_estimate_numbers(const struct ttzo_model *model)
{
    bool reuses = false;
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        reuses = reuses || ttzo_estimator_reuses(model->phases[p].estimator);
    if (!reuses)
        return 0;
    if (ttzo_is_graph(model))
        return ttzo_graph_gradient_numbers(model);
    return ttzo_has_gathered_layer(model) ? ttzo_gathered_gradient_numbers(model) : ttzo_propagate_numbers(model);
}

void ttzo_row_estimate_begin(struct ttzo_row_estimate *estimate, struct ttzo_trainer *trainer,
                             const struct ttzo_rows *rows, const struct ttzo_phase *phase)
{
    estimate->is_graph = ttzo_is_graph(trainer->model);
    estimate->is_gathered = ttzo_has_gathered_layer(trainer->model);
    estimate->by.base = (struct ttzo_estimate_base){
        .trainer = trainer,
        .rows = rows,
        .phase = phase,
        .asked = ttzo_coordinate_window_of(trainer, phase),
        .antithetic = phase->difference == TTZO_DIFFERENCE_ANTITHETIC,
    };
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        trainer->gradient[i] = 0.0f;
    if (estimate->is_graph)
        ttzo_graph_gradient_begin(&estimate->by.graph);
    else if (estimate->is_gathered)
        ttzo_gathered_gradient_begin(&estimate->by.gathered);
    else
        ttzo_core_gradient_begin(&estimate->by.cores);
}

// The row's loss.
static float forward(struct ttzo_row_estimate *estimate, const uint8_t *row)
{
    if (estimate->is_graph)
        return ttzo_graph_gradient_forward(&estimate->by.graph, row);
    return estimate->is_gathered ? ttzo_gathered_gradient_forward(&estimate->by.gathered, row)
                                 : ttzo_core_gradient_forward(&estimate->by.cores, row);
}

enum ttzo_error ttzo_row_estimate_next(struct ttzo_row_estimate *estimate)
{
    struct ttzo_estimate_base *base = &estimate->by.base;
    const struct ttzo_trainer *trainer = base->trainer;
    const uint8_t *row = base->rows->bytes + (size_t)trainer->batch_rows[base->done] * trainer->row_bytes;
    float loss = forward(estimate, row);
    base->loss_sum = base->loss_sum + loss;
    if (!ttzo_is_finite(loss))
        return TTZO_ERROR_NON_FINITE;
    if (estimate->is_graph)
        return ttzo_graph_gradient_of_row(&estimate->by.graph);
    return estimate->is_gathered ? ttzo_gathered_gradient_of_row(&estimate->by.gathered)
                                 : ttzo_core_gradient_of_row(&estimate->by.cores);
}

enum ttzo_error ttzo_row_estimate_end(struct ttzo_row_estimate *estimate, float *loss, uint32_t *evaluations)
{
    struct ttzo_estimate_base *base = &estimate->by.base;
    uint32_t queries = base->asked.length, repeats = 1;
    if (estimate->is_graph) {
        queries = ttzo_graph_gradient_queries(&estimate->by.graph);
        repeats = base->phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE ? base->phase->n_queries : 1;
    } else if (!estimate->is_gathered)
        queries = ttzo_core_gradient_end(&estimate->by.cores, &repeats);
    ttzo_coordinate_window_finish(&base->asked, base->trainer, base->phase, repeats);
    *loss = base->loss_sum * (1.0f / (float)base->trainer->model->info.batch);
    *evaluations = 1 + (base->antithetic ? 2 : 1) * queries;
    return ttzo_is_finite(*loss) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}
