// SPDX-License-Identifier: MIT
// coordinate_gn on a graph: each parameter's column is the difference of a row's residual beside it.
#ifndef TTZO_GRAPH_COLUMNS_H
#define TTZO_GRAPH_COLUMNS_H
#include "model/trainer.h"

#if TTZO_HAS(OPERATIONS)

// Whether the graph ends in a dense layer without activation whose parameters are trained and its own, after other nodes.
bool ttzo_graph_ends_in_layer(const struct ttzo_model *model);

// The first parameter of its last node.
uint32_t ttzo_graph_last(const struct ttzo_model *model);

// As ttzo_row_columns; `beside` [n_parameters] is overwritten.
float ttzo_graph_columns(struct ttzo_trainer *trainer, const float *theta, float *beside, uint32_t row, float mu,
                         uint32_t first, uint32_t end, float *column, uint32_t stride);

#else

static inline bool ttzo_graph_ends_in_layer(const struct ttzo_model *model)
{
    (void)model;
    return false;
}

static inline uint32_t ttzo_graph_last(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline float ttzo_graph_columns(struct ttzo_trainer *trainer, const float *theta, float *beside, uint32_t row,
                                       float mu, uint32_t first, uint32_t end, float *column, uint32_t stride)
{
    (void)trainer, (void)theta, (void)beside, (void)row, (void)mu, (void)first, (void)end, (void)column, (void)stride;
    return 0.0f;
}

#endif
#endif
