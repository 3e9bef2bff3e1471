// SPDX-License-Identifier: MIT
// node_cge on graphs: what the loss changes by when a unit of a layer moves before its activation, D[unit], for every place
// at which the layer is applied; a weight's derivative is the sum of D[unit] times the input that it multiplies there.
#ifndef TTZO_GRAPH_UNITS_H
#define TTZO_GRAPH_UNITS_H
#include "cores/graph_queries.h"

#if TTZO_HAS(CORES) && TTZO_HAS(OPERATIONS) && TTZO_HAS(BLOCKS)

// Takes `z`, `units` and `patch` where the model is trained by node_cge.
void ttzo_graph_units_carve(struct ttzo_graph_estimate *e, const struct ttzo_model *model, struct ttzo_carve *carve);

// Whether the node is a layer whose parameters, its own or shared ones, are trained.
bool ttzo_has_trained_units(const struct ttzo_node *node);

// The differences of the units of the layer, node number `number`, at the row, into `units`. Fails with `cancelled`.
enum ttzo_error ttzo_graph_units_ask(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node);

// Adds what they say about the layer's parameters to the gradient.
void ttzo_graph_units_add(struct ttzo_graph_estimate *e, const struct ttzo_node *node);

#else

static inline void ttzo_graph_units_carve(struct ttzo_graph_estimate *e, const struct ttzo_model *model,
                                          struct ttzo_carve *carve)
{
    (void)e, (void)model, (void)carve;
}

static inline bool ttzo_has_trained_units(const struct ttzo_node *node)
{
    (void)node;
    return false;
}

static inline enum ttzo_error ttzo_graph_units_ask(struct ttzo_graph_estimate *e, uint32_t number,
                                                   const struct ttzo_node *node)
{
    (void)e, (void)number, (void)node;
    return TTZO_ERROR_NOT_BUILT_IN;
}

static inline void ttzo_graph_units_add(struct ttzo_graph_estimate *e, const struct ttzo_node *node)
{
    (void)e, (void)node;
}

#endif
#endif
