// SPDX-License-Identifier: MIT
#include "model/needed_parts.h"

#include "model/phase.h"

static uint32_t parts_of_estimator(uint8_t estimator)
{
    bool blocks = estimator == TTZO_ESTIMATOR_NODE_CGE || estimator == TTZO_ESTIMATOR_BLOCK_RGE;
    if (ttzo_estimator_reuses(estimator))
        return TTZO_PART_CORES | (blocks ? TTZO_PART_BLOCKS : 0u);
    bool own = ttzo_is_gauss_newton(estimator) || estimator == TTZO_ESTIMATOR_SIMULATION_GN;
    return own ? 0u : TTZO_PART_EVALUATIONS;
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

static bool is_deep(const struct ttzo_model *model)
{
    uint32_t n = model->info.n_layers;
    return n > 2 || (n > 0 && model->layers[n - 1].activation != TTZO_ACTIVATION_IDENTITY);
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
        parts |=
            (model->info.cache != TTZO_CACHE_FLOAT32 ? TTZO_PART_NARROW : 0u) | (is_deep(model) ? TTZO_PART_DEPTH : 0u);
        for (uint32_t l = 0; l < model->info.n_layers; l++)
            parts |= model->layers[l].kind == TTZO_LAYER_KIND_TT_TENSOR ? TTZO_PART_TENSORS : 0u;
    }
    bool compensated = model->pde.info.derivative == TTZO_DERIVATIVE_COMPENSATED_JET; // once the equation is read
    return parts | (compensated ? TTZO_PART_COMPENSATED : 0u);
}
