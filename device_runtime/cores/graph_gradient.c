// SPDX-License-Identifier: MIT
#include "cores/graph_gradient.h"

#include "network/loss.h"
#include "operations/graph.h"

#if TTZO_HAS(OPERATIONS)

// ---- memory ---------------------------------------------------------------------------------------------------------

static void carve_all(struct ttzo_graph_estimate *e, const struct ttzo_model *model, struct ttzo_carve *carve)
{
    const struct ttzo_graph *graph = &model->graph;
    uint64_t all = 0;
    for (uint32_t a = 0; a < graph->info.n_arrays; a++)
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
    for (uint32_t a = 0, at = 0; a < graph->info.n_arrays; a++) {
        e->kept_at[a] = at;
        at += ttzo_node_array_at(graph, a).numbers;
    }
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        trainer->perturbed[i] = trainer->theta[i];
}

// ---- a row's forward pass -------------------------------------------------------------------------------------------

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
    ttzo_read_inputs(model, row, e->kept);
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        const float *inputs[3] = { NULL, NULL, NULL };
        for (uint32_t k = 0; k < 3 && node.inputs[k] != TTZO_NO_ARRAY; k++)
            inputs[k] = e->kept + e->kept_at[node.inputs[k]];
        ttzo_graph_run_node(graph, &node, trainer->theta, inputs, e->kept + e->kept_at[node.output], e->scratch);
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
