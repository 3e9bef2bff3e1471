// SPDX-License-Identifier: MIT
#include "cores/graph_gradient.h"

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
    uint64_t all = 0;
    for (uint32_t a = 0; a < graph->info.n_arrays; a++)
        if (is_needed(graph, first, a))
            all += ttzo_node_array_at(graph, a).numbers;
    e->kept_at = (uint32_t *)(void *)ttzo_take_even(carve, graph->info.n_arrays);
    e->reached = (uint8_t *)(void *)ttzo_take_even(carve, (graph->info.n_arrays + 3u) / 4);
    e->kept = ttzo_take_even(carve, all);
    e->changed = ttzo_take_even(carve, graph->info.arena);
    e->scratch = ttzo_take_even(carve, ttzo_graph_scratch(graph));
    e->slopes = ttzo_take_even(carve, model->info.out_features);
    e->changes = ttzo_take_even(carve, model->info.out_features);
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
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        trainer->perturbed[i] = trainer->theta[i];
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
    return e->kept + e->kept_at[ttzo_node_at(graph, graph->info.n_nodes - 1u).output];
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
        ttzo_graph_run_node(graph, &node, trainer->theta, inputs, place_of(e, node.output), e->scratch);
    }
    e->macs += trainer->macs_per_sample;
    e->target = row + ttzo_input_bytes(model);
    ttzo_loss_slopes(model, kept_outputs(e), e->target, e->slopes);
    for (uint32_t j = 0; j < model->info.out_features; j++)
        e->changes[j] = kept_outputs(e)[j];
    return ttzo_row_loss(model, e->changes, e->target);
}

// ---- queries --------------------------------------------------------------------------------------------------------

// Whether the node's parameters are those of `owner`, trained ones.
static bool has_parameters_of(const struct ttzo_node *node, const struct ttzo_node *owner)
{
    return node->operation == owner->operation && node->parameters == owner->parameters &&
           (node->flags & ~TTZO_NODE_FLAG_SHARED) == 0;
}

// One node again, where the query reaches it. `index`: of the changed parameter among the owner's.
static void run_again(struct ttzo_graph_estimate *e, const struct ttzo_node *node, const struct ttzo_node *owner,
                      uint32_t index)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_graph *graph = &trainer->model->graph;
    const float *inputs[3] = { NULL, NULL, NULL };
    struct ttzo_node_array made = ttzo_node_array_at(graph, node->output);
    bool own = has_parameters_of(node, owner), moved = false;
    for (uint32_t k = 0; k < 3 && node->inputs[k] != TTZO_NO_ARRAY; k++) {
        bool is_changed = e->reached[node->inputs[k]];
        inputs[k] = is_changed ? e->changed + ttzo_node_array_at(graph, node->inputs[k]).place
                               : e->kept + e->kept_at[node->inputs[k]];
        moved = moved || is_changed;
    }
    e->reached[node->output] = own || moved;
    if (!own && !moved)
        return;
    float *output = e->changed + made.place;
    if (own && !moved) {
        for (uint32_t i = 0; i < made.numbers; i++)
            output[i] = e->kept[e->kept_at[node->output] + i];
        e->macs += ttzo_graph_run_row(graph, node, index, trainer->perturbed, inputs, output, e->scratch);
    } else {
        ttzo_graph_run_node(graph, node, trainer->perturbed, inputs, output, e->scratch);
        e->macs += ttzo_graph_node_macs(graph, node);
    }
}

// The row's loss at trainer->perturbed less that at theta; they differ in parameter `index` of node `number`.
static float difference_of(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *owner,
                           uint32_t index)
{
    const struct ttzo_model *model = e->base.trainer->model;
    const struct ttzo_graph *graph = &model->graph;
    struct ttzo_node node = *owner;
    float difference;
    for (uint32_t a = 0; a < graph->info.n_arrays; a++)
        e->reached[a] = 0;
    for (uint32_t i = number; i < graph->info.n_nodes; i++) {
        node = ttzo_node_at(graph, i);
        run_again(e, &node, owner, index);
    }
    const float *outputs = e->changed + ttzo_node_array_at(graph, node.output).place;
    for (uint32_t j = 0; j < model->info.out_features; j++)
        e->changes[j] = outputs[j] - kept_outputs(e)[j];
    ttzo_loss_changes(model, e->slopes, e->changes, 0, 1, e->target, &difference);
    return difference;
}

static void ask(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *owner, uint32_t index)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    uint32_t at = owner->parameters + index;
    float mu = e->base.phase->perturb_radius;
    trainer->perturbed[at] = trainer->theta[at] + mu;
    float difference = difference_of(e, number, owner, index);
    if (e->base.antithetic) {
        trainer->perturbed[at] = trainer->theta[at] - mu;
        difference = difference - difference_of(e, number, owner, index);
    }
    trainer->perturbed[at] = trainer->theta[at];
    trainer->gradient[at] = trainer->gradient[at] + difference;
}

enum ttzo_error ttzo_graph_gradient_of_row(struct ttzo_graph_estimate *e)
{
    const struct ttzo_graph *graph = &e->base.trainer->model->graph;
    enum ttzo_error error = TTZO_ERROR_OK;
    for (uint32_t i = 0; i < graph->info.n_nodes && !error; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        uint32_t parameters = node.flags ? 0 : ttzo_graph_node_parameters(graph, &node);
        for (uint32_t p = 0; p < parameters && !error; p++)
            if (ttzo_is_asked(&e->base.asked, node.parameters + p)) {
                ask(e, i, &node, p);
                error = ttzo_rows_still_wanted(&e->base, &e->macs);
            }
    }
    e->base.done++;
    return error ? error : ttzo_rows_still_wanted(&e->base, &e->macs);
}

#endif
