// SPDX-License-Identifier: MIT
// What estimates on graphs keep of a row, and how a change goes through the graph: the nodes that it reaches run again, the
// others keep what they made of the row. A node that makes what it made before ends the change.
#ifndef TTZO_GRAPH_QUERIES_H
#define TTZO_GRAPH_QUERIES_H
#include "cores/estimate_base.h"
#include "model/carve.h"
#include "operations/graph.h"

// An estimate under way.
struct ttzo_graph_estimate {
    struct ttzo_estimate_base base;
    uint32_t *kept_at; // [n_arrays] where each array of the row's forward pass lies in `kept`
    uint8_t *reached;  // [n_arrays] 1 for those that a query has changed
    float *kept;       // the arrays of the row that queries need again, one beside the other
    float *changed;    // [arena] those of a query
    float *own;        // [the most parameters of a trained node] those of the node whose parameters a query changes
    float *scratch;
    float *slopes;  // [out_features] of the loss
    float *changes; // [out_features] of the outputs
    float *z;       // node_cge: [the most outputs of a trained layer] of one layer before its activation
    float *units;   // node_cge: as many, the loss differences of its units
    float *patch;   // node_cge: [the most inputs of an application of one]
    const uint8_t *target;
    uint64_t macs;
};

#if TTZO_HAS(CORES) && TTZO_HAS(OPERATIONS)

// An array of the row's forward pass that queries need again.
static inline float *ttzo_graph_kept(const struct ttzo_graph_estimate *e, uint32_t array)
{
    return e->kept + e->kept_at[array];
}

// Where a query has an array that it has changed.
static inline float *ttzo_graph_changed(const struct ttzo_graph_estimate *e, uint32_t array)
{
    return e->changed + ttzo_node_array_at(&e->base.trainer->model->graph, array).place;
}

// Before a query: nothing is changed.
static inline void ttzo_graph_query_begin(struct ttzo_graph_estimate *e)
{
    for (uint32_t a = 0; a < e->base.trainer->model->graph.info.n_arrays; a++)
        e->reached[a] = 0;
}

// Makes `own` the node's parameters in theta.
static inline void ttzo_graph_copy_own(const struct ttzo_graph_estimate *e, const struct ttzo_node *node)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    uint32_t n = ttzo_graph_node_parameters(&trainer->model->graph, node);
    for (uint32_t i = 0; i < n; i++)
        e->own[i] = trainer->theta[node->parameters + i];
}

// Runs the nodes from `first` on that a change reaches; returns the row's loss after it less the row's loss. `owner`: the
// node whose parameters are `own` and differ from theta, in number `index` or, where that is UINT32_MAX, in several; NULL
// where all are those of theta.
float ttzo_graph_carry(struct ttzo_graph_estimate *e, uint32_t first, const struct ttzo_node *owner, uint32_t index);

// The row's loss with number `at` of the output of node `number` changed to `value`, less its loss.
float ttzo_graph_output_difference(struct ttzo_graph_estimate *e, uint32_t number, uint32_t at, float value);

#endif
#endif
