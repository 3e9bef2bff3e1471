// SPDX-License-Identifier: MIT
#include "model/needed_parts.h"

#include "model/phase.h"

static uint32_t parts_of_estimator(uint8_t estimator)
{
    bool blocks = ttzo_estimator_goes_by_units(estimator) || estimator == TTZO_ESTIMATOR_BLOCK_RGE;
    if (ttzo_estimator_reuses(estimator))
        return TTZO_PART_CORES | (blocks ? TTZO_PART_BLOCKS : 0u) |
               (estimator == TTZO_ESTIMATOR_CHAIN_DIFFERENCES ? TTZO_PART_CHAIN : 0u);
    if (estimator == TTZO_ESTIMATOR_COORDINATE_GN)
        return TTZO_PART_COORDINATES;
    if (estimator == TTZO_ESTIMATOR_FROZEN_FEATURES)
        return TTZO_PART_COORDINATES | TTZO_PART_FEATURES;
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

// Asked four times: inlined, it takes 48 bytes more of flash.
__attribute__((noinline)) static bool has_late_operations(const struct ttzo_program *programs, uint32_t n)
{
    for (uint32_t p = 0; p < n; p++)
        for (uint32_t k = 0; k < programs[p].n_instructions; k++)
            if (programs[p].instructions[4 * k] >= TTZO_OPERATION_ATAN)
                return true;
    return false;
}

// Of an equation: of all of it once it is read.
static uint32_t parts_of_equation(const struct ttzo_model *model)
{
    const struct ttzo_pde_info *info = &model->pde.info;
    const struct ttzo_pde *pde = &model->pde;
    bool has_systems = model->info.out_features > 1 || info->n_readings || info->n_groups > TTZO_FEW_ROW_GROUPS ||
                       has_late_operations(pde->conditions, TTZO_ROW_GROUP_PLACES) ||
                       has_late_operations(pde->solution, TTZO_FUNCTION_PLACES) ||
                       has_late_operations(pde->exact, TTZO_FUNCTION_PLACES) || has_late_operations(pde->points, 2);
    has_systems = has_systems || info->n_directions || info->n_unknowns || info->n_vectors || info->n_sampled;
    for (uint32_t g = 0; g < info->n_groups && g < TTZO_ROW_GROUP_PLACES; g++)
        has_systems = has_systems || model->pde.groups[g].sampler == TTZO_SAMPLER_OPPOSITE;
    return (has_systems ? TTZO_PART_SYSTEMS : 0u) |
           (info->derivative == TTZO_DERIVATIVE_COMPENSATED_JET ? TTZO_PART_COMPENSATED : 0u);
}

// Of loss, rows and update rules. Gauss-Newton has a rule of its own.
static uint32_t parts_of_training(const struct ttzo_model *model)
{
    uint8_t loss = model->info.loss;
    bool own = loss == TTZO_LOSS_RESIDUAL || loss == TTZO_LOSS_SIMULATION;
    bool plain = own || (loss == TTZO_LOSS_CROSS_ENTROPY && !model->info.has_loss_section);
    uint32_t parts = (plain ? 0u : TTZO_PART_LOSSES) | (model->rows.channels ? TTZO_PART_AUGMENTATION : 0u) |
                     (model->rows.columns ? TTZO_PART_READINGS : 0u);
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        parts |= parts_of_estimator(model->phases[p].estimator) |
                 (own || model->phases[p].update == TTZO_UPDATE_MOMENTUM ? 0u : TTZO_PART_RULES);
    return parts;
}

// Whether a chain that has no equation needs the part `curves`.
static bool is_curved(const struct ttzo_model *model)
{
    bool curved = model->training.schedule == TTZO_SCHEDULE_COSINE;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        curved = curved || model->layers[l].activation == TTZO_ACTIVATION_TANH ||
                 model->layers[l].activation == TTZO_ACTIVATION_SINE;
    return curved && model->info.n_layers && model->info.loss != TTZO_LOSS_RESIDUAL;
}

// Whether a change of a unit passes a further layer than the next, or an activation after the last.
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
    parts |= parts_of_nodes(&model->graph) | parts_of_training(model) | (is_curved(model) ? TTZO_PART_CURVES : 0u);
    if (parts & TTZO_PART_CORES) {
        parts |=
            (model->info.cache != TTZO_CACHE_FLOAT32 ? TTZO_PART_NARROW : 0u) | (is_deep(model) ? TTZO_PART_DEPTH : 0u);
        for (uint32_t l = 0; l < model->info.n_layers; l++)
            parts |= model->layers[l].kind == TTZO_LAYER_KIND_TT_TENSOR ? TTZO_PART_TENSORS : 0u;
    }
    return parts | (TTZO_HAS(EQUATIONS) && parts & TTZO_PART_EQUATIONS ? parts_of_equation(model) : 0u);
}
