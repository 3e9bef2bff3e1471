// SPDX-License-Identifier: MIT
// What estimates on graphs keep of a row, and how a change goes through the graph: the nodes that it reaches run again, the
// others keep what they made of the row. A node that makes what it made before ends the change.
#ifndef TTZO_GRAPH_QUERIES_H
#define TTZO_GRAPH_QUERIES_H
#include "cores/estimate_base.h"
#include "model/carve.h"

// An estimate under way.
struct ttzo_graph_estimate {
    struct ttzo_estimate_base base;
    uint32_t *kept_at; // [n_arrays] where each array of the row's forward pass lies in `kept`
    uint8_t *reached;  // [n_arrays] 1 for those that a query has changed
    float *kept;       // the arrays of the row that queries need again, one beside the other
    float *changed;    // [arena] those of a query
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

// The row's loss at trainer->perturbed less that at theta. They differ in parameters of `owner`, node number `number`: in
// parameter `index` of its own, or, where that is UINT32_MAX, in several.
float ttzo_graph_parameter_difference(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *owner,
                                      uint32_t index);

// The row's loss with number `at` of the output of node `number` changed to `value`, less its loss.
float ttzo_graph_output_difference(struct ttzo_graph_estimate *e, uint32_t number, uint32_t at, float value);

#endif
#endif
