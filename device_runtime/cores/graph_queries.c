// SPDX-License-Identifier: MIT
#include "cores/graph_queries.h"

#include "network/loss.h"
#include "operations/graph.h"

#if TTZO_HAS(OPERATIONS)

#define ANY_PARAMETER UINT32_MAX

// Whether the node's parameters are those of `owner`, trained ones.
static bool has_parameters_of(const struct ttzo_node *node, const struct ttzo_node *owner)
{
    return owner && node->operation == owner->operation && node->parameters == owner->parameters &&
           (node->flags & ~TTZO_NODE_FLAG_SHARED) == 0;
}

static void copy_kept(const struct ttzo_graph_estimate *e, uint32_t array)
{
    const float *from = ttzo_graph_kept(e, array);
    float *to = ttzo_graph_changed(e, array);
    uint32_t n = ttzo_node_array_at(&e->base.trainer->model->graph, array).numbers;
    for (uint32_t i = 0; i < n; i++)
        to[i] = from[i];
}

// Whether a query's array differs from the row's: a unit may sleep, a maximum may stay.
static bool differs(const struct ttzo_graph_estimate *e, uint32_t array)
{
    const float *kept = ttzo_graph_kept(e, array), *now = ttzo_graph_changed(e, array);
    uint32_t n = ttzo_node_array_at(&e->base.trainer->model->graph, array).numbers, i = 0;
    while (i < n && now[i] == kept[i])
        i++;
    return i < n;
}

// One node again, where the query reaches it. `owner`: whose parameters have changed, or NULL; `index`: which.
static void run_again(struct ttzo_graph_estimate *e, const struct ttzo_node *node, const struct ttzo_node *owner,
                      uint32_t index)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_graph *graph = &trainer->model->graph;
    const float *inputs[3] = { NULL, NULL, NULL };
    bool own = has_parameters_of(node, owner), moved = false;
    for (uint32_t k = 0; k < 3 && node->inputs[k] != TTZO_NO_ARRAY; k++) {
        uint32_t array = node->inputs[k];
        inputs[k] = e->reached[array] ? ttzo_graph_changed(e, array) : ttzo_graph_kept(e, array);
        moved = moved || e->reached[array];
    }
    if (!own && !moved)
        return;
    const float *parameters = own ? e->own : trainer->theta + node->parameters;
    float *output = ttzo_graph_changed(e, node->output);
    uint64_t macs = 0;
    if (own && !moved && index != ANY_PARAMETER) {
        copy_kept(e, node->output);
        macs = ttzo_graph_run_row(graph, node, index, parameters, inputs, output, e->scratch);
    } else if (!own)
        macs = ttzo_graph_run_moved(graph, node, parameters, inputs, ttzo_graph_kept(e, node->inputs[0]),
                                    ttzo_graph_kept(e, node->output), output, e->scratch);
    if (!macs) {
        ttzo_graph_run_node(graph, node, parameters, inputs, output, e->scratch);
        macs = ttzo_graph_node_macs(graph, node);
    }
    e->macs += macs;
    e->reached[node->output] = differs(e, node->output);
}

float ttzo_graph_carry(struct ttzo_graph_estimate *e, uint32_t first, const struct ttzo_node *owner, uint32_t index)
{
    const struct ttzo_model *model = e->base.trainer->model;
    const struct ttzo_graph *graph = &model->graph;
    uint32_t last = ttzo_node_at(graph, graph->info.n_nodes - 1u).output;
    for (uint32_t i = first; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        run_again(e, &node, owner, index);
    }
    if (!e->reached[last])
        return 0.0f;
    const float *outputs = ttzo_graph_changed(e, last), *kept = ttzo_graph_kept(e, last);
    for (uint32_t j = 0; j < model->info.out_features; j++)
        e->changes[j] = outputs[j] - kept[j];
    return ttzo_loss_change(model, e->slopes, e->changes, e->target);
}

float ttzo_graph_output_difference(struct ttzo_graph_estimate *e, uint32_t number, uint32_t at, float value)
{
    uint32_t array = ttzo_node_at(&e->base.trainer->model->graph, number).output;
    if (value == ttzo_graph_kept(e, array)[at])
        return 0.0f;
    ttzo_graph_query_begin(e);
    copy_kept(e, array);
    ttzo_graph_changed(e, array)[at] = value;
    e->reached[array] = 1;
    return ttzo_graph_carry(e, number + 1, NULL, ANY_PARAMETER);
}

#endif
