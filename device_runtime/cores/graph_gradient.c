// SPDX-License-Identifier: MIT
#include "cores/graph_gradient.h"

#include "cores/graph_blocks.h"
#include "cores/graph_units.h"
#include "model/threads.h"
#include "network/loss.h"
#include "operations/graph.h"

#if TTZO_HAS(OPERATIONS)

#define NOT_KEPT 0xFFFFFFFFu // place of an array that no query needs

// ---- memory ---------------------------------------------------------------------------------------------------------

// The first node whose parameters are trained: those before it never run again.
static uint32_t first_trained(const struct ttzo_graph *graph)
{
    uint32_t i = 0;
    for (; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        if (node.flags == 0 && ttzo_graph_node_parameters(graph, &node))
            break;
    }
    return i;
}

// Whether a node from `first` on reads or writes array `a`.
static bool is_needed(const struct ttzo_graph *graph, uint32_t first, uint32_t a)
{
    for (uint32_t i = first; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        if (node.output == a || node.inputs[0] == a || node.inputs[1] == a || node.inputs[2] == a)
            return true;
    }
    return false;
}

static void carve_all(struct ttzo_graph_estimate *e, const struct ttzo_model *model, struct ttzo_carve *carve)
{
    const struct ttzo_graph *graph = &model->graph;
    uint32_t first = first_trained(graph);
    uint64_t all = 0, own = 0;
    for (uint32_t i = first; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        uint32_t parameters = node.flags ? 0 : ttzo_graph_node_parameters(graph, &node);
        own = parameters > own ? parameters : own;
    }
    for (uint32_t a = 0; a < graph->info.n_arrays; a++)
        if (is_needed(graph, first, a))
            all += ttzo_node_array_at(graph, a).numbers;
    e->kept_at = (uint32_t *)(void *)ttzo_take_even(carve, graph->info.n_arrays);
    e->reached = (uint8_t *)(void *)ttzo_take_even(carve, (graph->info.n_arrays + 3u) / 4);
    e->kept = ttzo_take_even(carve, all);
    e->changed = ttzo_take_even(carve, graph->info.arena);
    e->own = ttzo_take_even(carve, own);
    e->scratch = ttzo_take_even(carve, ttzo_graph_scratch(graph));
    e->slopes = ttzo_take_even(carve, model->info.out_features);
    e->changes = ttzo_take_even(carve, model->info.out_features);
    ttzo_graph_units_carve(e, model, carve);
}

uint64_t ttzo_graph_gradient_numbers(const struct ttzo_model *model)
{
    struct ttzo_graph_estimate counting;
    struct ttzo_carve carve = { NULL, 0 };
    carve_all(&counting, model, &carve);
    return carve.numbers;
}

void ttzo_graph_gradient_begin(struct ttzo_graph_estimate *e)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_graph *graph = &trainer->model->graph;
    struct ttzo_carve carve = { trainer->cache_area, 0 };
    carve_all(e, trainer->model, &carve);
    e->macs = 0;
    uint32_t first = first_trained(graph);
    for (uint32_t a = 0, at = 0; a < graph->info.n_arrays; a++) {
        bool needed = is_needed(graph, first, a);
        e->kept_at[a] = needed ? at : NOT_KEPT;
        at += needed ? ttzo_node_array_at(graph, a).numbers : 0;
    }
}

// ---- a row's forward pass -------------------------------------------------------------------------------------------

// Where an array of the row's forward pass lies: among the kept ones, or where a forward pass has it, in the place of the
// queries' arrays, which come later.
static float *place_of(const struct ttzo_graph_estimate *e, uint32_t a)
{
    const struct ttzo_graph *graph = &e->base.trainer->model->graph;
    return e->kept_at[a] == NOT_KEPT ? e->changed + ttzo_node_array_at(graph, a).place : e->kept + e->kept_at[a];
}

static float *kept_outputs(const struct ttzo_graph_estimate *e)
{
    const struct ttzo_graph *graph = &e->base.trainer->model->graph;
    return ttzo_graph_kept(e, ttzo_node_at(graph, graph->info.n_nodes - 1u).output);
}

float ttzo_graph_gradient_forward(struct ttzo_graph_estimate *e, const uint8_t *row)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_graph *graph = &model->graph;
    ttzo_read_inputs(model, row, place_of(e, 0));
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        const float *inputs[3] = { NULL, NULL, NULL };
        for (uint32_t k = 0; k < 3 && node.inputs[k] != TTZO_NO_ARRAY; k++)
            inputs[k] = place_of(e, node.inputs[k]);
        ttzo_graph_run_node(graph, &node, trainer->theta + node.parameters, inputs, place_of(e, node.output),
                            e->scratch);
    }
    e->macs += trainer->macs_per_sample;
    e->target = row + ttzo_input_bytes(model);
    return ttzo_loss_with_slopes(model, kept_outputs(e), e->target, e->slopes, e->changes);
}

// ---- the parameters of a row ---------------------------------------------------------------------------------------

static float difference_at(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *owner,
                           uint32_t index, float move)
{
    float kept = e->own[index];
    e->own[index] = kept + move;
    ttzo_graph_query_begin(e);
    float difference = ttzo_graph_carry(e, number, owner, index);
    e->own[index] = kept;
    return difference;
}

// Parameter by parameter.
static enum ttzo_error ask_parameters(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *owner)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    uint32_t parameters = ttzo_graph_node_parameters(&trainer->model->graph, owner);
    float mu = e->base.phase->perturb_radius, *gradient = trainer->gradient + owner->parameters;
    enum ttzo_error error = TTZO_ERROR_OK;
    ttzo_graph_copy_own(e, owner);
    for (uint32_t p = 0; p < parameters && !error; p++)
        if (ttzo_is_asked(&e->base.asked, owner->parameters + p)) {
            float difference = difference_at(e, number, owner, p, mu);
            if (e->base.antithetic)
                difference = difference - difference_at(e, number, owner, p, -mu);
            gradient[p] = gradient[p] + difference;
            error = ttzo_rows_still_wanted(&e->base, &e->macs);
        }
    return error;
}

enum ttzo_error ttzo_graph_gradient_of_row(struct ttzo_graph_estimate *e)
{
    const struct ttzo_graph *graph = &e->base.trainer->model->graph;
    bool by_units = TTZO_HAS(BLOCKS) && e->base.phase->estimator == TTZO_ESTIMATOR_NODE_CGE;
    bool by_blocks = TTZO_HAS(BLOCKS) && e->base.phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE;
    enum ttzo_error error = TTZO_ERROR_OK;
    uint32_t block = 0;
    for (uint32_t i = 0; i < graph->info.n_nodes && !error; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        bool owns = node.flags == 0 && ttzo_graph_node_parameters(graph, &node);
        if (by_units && ttzo_has_trained_units(&node)) {
            error = ttzo_graph_units_ask(e, i, &node);
            if (!error) {
                ttzo_enter_row_order(e->base.trainer);
                ttzo_graph_units_add(e, &node);
                ttzo_leave_row_order(e->base.trainer);
            }
        } else if (owns)
            error = by_blocks ? ttzo_graph_blocks_ask(e, i, &node, &block) : ask_parameters(e, i, &node);
    }
    e->base.done++;
    return error ? error : ttzo_rows_still_wanted(&e->base, &e->macs);
}

// ---- the end --------------------------------------------------------------------------------------------------------

uint32_t ttzo_graph_gradient_queries(const struct ttzo_graph_estimate *e)
{
    const struct ttzo_graph *graph = &e->base.trainer->model->graph;
    uint8_t estimator = e->base.phase->estimator;
    uint32_t queries = 0;
    if (estimator != TTZO_ESTIMATOR_NODE_CGE && estimator != TTZO_ESTIMATOR_BLOCK_RGE)
        return e->base.asked.length;
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        uint32_t parameters = node.flags ? 0 : ttzo_graph_node_parameters(graph, &node);
        if (estimator == TTZO_ESTIMATOR_BLOCK_RGE)
            queries += parameters ? ttzo_graph_blocks(graph, &node) * e->base.phase->n_queries : 0;
        else if (ttzo_has_trained_units(&node))
            queries += ttzo_node_array_at(graph, node.output).numbers;
        else
            queries += parameters;
    }
    return queries;
}

#endif
