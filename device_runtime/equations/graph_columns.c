// SPDX-License-Identifier: MIT
#include "equations/graph_columns.h"

#include "equations/column_work.h"
#include "equations/pde.h"
#include "number/real.h"
#include "operations/graph.h"

#if TTZO_HAS(COORDINATES) && TTZO_HAS(OPERATIONS)

bool ttzo_graph_ends_in_layer(const struct ttzo_model *model)
{
    const struct ttzo_graph *graph = &model->graph;
    struct ttzo_node node = ttzo_node_at(graph, graph->info.n_nodes - 1u);
    if (graph->info.n_nodes < 2 || node.operation != TTZO_NODE_OPERATION_AFFINE || node.flags)
        return false;
    struct ttzo_layer last = ttzo_graph_layer(graph, &node);
    return last.kind == TTZO_LAYER_KIND_DENSE && !last.gather && last.activation == TTZO_ACTIVATION_IDENTITY;
}

uint32_t ttzo_graph_last(const struct ttzo_model *model)
{
    return ttzo_node_at(&model->graph, model->graph.info.n_nodes - 1u).parameters;
}

float ttzo_graph_columns(struct ttzo_trainer *trainer, const float *theta, float *beside, uint32_t row, float mu,
                         uint32_t first, uint32_t end, float *column, uint32_t stride)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t last = ttzo_graph_last(model), n_last = model->info.n_parameters - ttzo_unknown_constants(model) - last;
    float residual = ttzo_pde_residual(trainer, theta, row);
    trainer->macs += trainer->macs_per_row * (1 + end - first);
    for (uint32_t i = 0; i < model->info.n_parameters; i++)
        beside[i] = theta[i];
    for (uint32_t u = first; u < end; u++, column += stride) {
        float *moved = beside + ttzo_place_of_unknown(u, last, n_last), kept = *moved;
        *moved = TTZO_MULADD(mu, 1.0f + (kept < 0.0f ? -kept : kept), kept);
        *column = (ttzo_pde_residual(trainer, beside, row) - residual) / (*moved - kept);
        *moved = kept;
    }
    return residual;
}

#endif
