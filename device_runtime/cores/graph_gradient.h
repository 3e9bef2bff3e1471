// SPDX-License-Identifier: MIT
// cge, cocd, node_cge and block_rge on graphs. A parameter changes the arrays that its node reaches; one that several nodes
// share changes all of them. node_cge takes layers by units (graph_units.h) and other nodes parameter by parameter. So
// whatever runs forward is trained.
#ifndef TTZO_GRAPH_GRADIENT_H
#define TTZO_GRAPH_GRADIENT_H
#include "cores/graph_queries.h"

#if TTZO_HAS(CORES) && TTZO_HAS(OPERATIONS)

// Numbers in the work area; 64 bits, because the model may not be checked yet.
uint64_t ttzo_graph_gradient_numbers(const struct ttzo_model *model);

// Once a step; the base is set.
void ttzo_graph_gradient_begin(struct ttzo_graph_estimate *e);

// A row's forward pass; returns its loss.
float ttzo_graph_gradient_forward(struct ttzo_graph_estimate *e, const uint8_t *row);

// The row's loss differences into the gradient. Fails with `cancelled`.
enum ttzo_error ttzo_graph_gradient_of_row(struct ttzo_graph_estimate *e);

// Queries of the estimate: loss evaluations, without the one at theta and without their second sides.
uint32_t ttzo_graph_gradient_queries(const struct ttzo_graph_estimate *e);

#else

static inline uint32_t ttzo_graph_gradient_queries(const struct ttzo_graph_estimate *e)
{
    (void)e;
    return 0;
}

static inline uint64_t ttzo_graph_gradient_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline void ttzo_graph_gradient_begin(struct ttzo_graph_estimate *e)
{
    (void)e;
}

static inline float ttzo_graph_gradient_forward(struct ttzo_graph_estimate *e, const uint8_t *row)
{
    (void)e, (void)row;
    return 0.0f;
}

static inline enum ttzo_error ttzo_graph_gradient_of_row(struct ttzo_graph_estimate *e)
{
    (void)e;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
