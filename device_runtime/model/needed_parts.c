// SPDX-License-Identifier: MIT
#include "model/needed_parts.h"

#include "model/phase.h"

static uint32_t parts_of_estimator(uint8_t estimator)
{
    bool blocks = estimator == TTZO_ESTIMATOR_NODE_CGE || estimator == TTZO_ESTIMATOR_BLOCK_RGE;
    if (ttzo_estimator_reuses(estimator))
        return TTZO_PART_CORES | (blocks ? TTZO_PART_BLOCKS : 0u);
    if (estimator == TTZO_ESTIMATOR_COORDINATE_GN)
        return TTZO_PART_COORDINATES;
    bool own = ttzo_is_gauss_newton(estimator) || estimator == TTZO_ESTIMATOR_SIMULATION_GN;
    return own ? 0u : TTZO_PART_EVALUATIONS;
}

static uint32_t part_of_derivative(const struct ttzo_pde *pde)
{
    switch ((enum ttzo_derivative)pde->info.derivative) {
    case TTZO_DERIVATIVE_COMPENSATED_JET: return TTZO_PART_COMPENSATED;
    case TTZO_DERIVATIVE_JET: return 0;
    default: return TTZO_PART_DIFFERENCES;
    }
}

// Of a graph whose records and attributes lie inside its section.
static uint32_t parts_of_nodes(const struct ttzo_graph *graph)
{
    uint32_t parts = 0;
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        struct ttzo_layer layer;
        parts |= TTZO_PART_OPERATIONS | ttzo_node_part(node.operation);
        if (node.operation != TTZO_NODE_OPERATION_AFFINE)
            continue;
        ttzo_unpack_layer(graph->attributes + 4u * node.attributes, &layer);
        parts |= layer.gather ? TTZO_PART_GATHERED : 0u;
    }
    return parts;
}

uint32_t ttzo_needed_parts(const struct ttzo_model *model)
{
    uint32_t parts = model->info.loss == TTZO_LOSS_RESIDUAL     ? TTZO_PART_EQUATIONS
                     : model->info.loss == TTZO_LOSS_SIMULATION ? TTZO_PART_IDENTIFICATION
                                                                : 0u;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        parts |=
            (model->layers[l].contraction ? TTZO_PART_SPLIT : 0u) | (model->layers[l].gather ? TTZO_PART_GATHERED : 0u);
    parts |= parts_of_nodes(&model->graph) | (model->rows.channels ? TTZO_PART_AUGMENTATION : 0u);
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        parts |= parts_of_estimator(model->phases[p].estimator);
    if (parts & TTZO_PART_CORES) {
        parts |= model->info.cache != TTZO_CACHE_FLOAT32 ? TTZO_PART_NARROW : 0u;
        for (uint32_t l = 0; l < model->info.n_layers; l++)
            parts |= model->layers[l].kind == TTZO_LAYER_KIND_TT_TENSOR ? TTZO_PART_TENSORS : 0u;
    }
    return parts | part_of_derivative(&model->pde); // once the equation is read
}
