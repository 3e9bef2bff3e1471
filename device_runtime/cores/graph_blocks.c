// SPDX-License-Identifier: MIT
#include "cores/graph_blocks.h"

#include "network/layers.h"
#include "number/random.h"
#include "operations/graph.h"

#if TTZO_HAS(OPERATIONS) && TTZO_HAS(BLOCKS)

uint32_t ttzo_graph_blocks(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    if (node->operation != TTZO_NODE_OPERATION_AFFINE)
        return 1;
    struct ttzo_layer layer = ttzo_graph_layer(graph, node);
    return ttzo_layer_length(&layer) + layer.has_bias;
}

// The parameters [first, first + size) of theta that are block `index` of the node.
struct block {
    uint32_t first, size;
};

static struct block block_of(const struct ttzo_graph *graph, const struct ttzo_node *node, uint32_t index)
{
    uint32_t parameters = ttzo_graph_node_parameters(graph, node);
    if (node->operation != TTZO_NODE_OPERATION_AFFINE)
        return (struct block){ node->parameters, parameters };
    struct ttzo_layer layer = ttzo_graph_layer(graph, node);
    if (index == ttzo_layer_length(&layer))
        return (struct block){ node->parameters + parameters - layer.out_features, layer.out_features };
    struct ttzo_core core = ttzo_layer_core(&layer, index);
    return (struct block){ node->parameters + core.offset, core.left * core.m * core.n * core.right };
}

static float difference_along(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node,
                              struct block block, float move, uint32_t query)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    float *perturbed = trainer->perturbed + block.first;
    const float *theta = trainer->theta + block.first;
    ttzo_direction_add(perturbed, theta, move, block.size, (enum ttzo_direction)e->base.phase->direction,
                       trainer->training.seed, trainer->state.step, query);
    float difference = ttzo_graph_parameter_difference(e, number, node, UINT32_MAX);
    for (uint32_t i = 0; i < block.size; i++)
        perturbed[i] = theta[i];
    return difference;
}

enum ttzo_error ttzo_graph_blocks_ask(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node,
                                      uint32_t *block)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_graph *graph = &trainer->model->graph;
    const struct ttzo_phase *phase = e->base.phase;
    enum ttzo_error error = TTZO_ERROR_OK;
    for (uint32_t index = 0; index < ttzo_graph_blocks(graph, node); index++, ++*block) {
        struct block of = block_of(graph, node, index);
        float *gradient = trainer->gradient + of.first, mu = phase->perturb_radius;
        for (uint32_t q = 0; q < phase->n_queries && !error; q++) {
            uint32_t query = *block * phase->n_queries + q;
            float difference = difference_along(e, number, node, of, mu, query);
            if (e->base.antithetic)
                difference = difference - difference_along(e, number, node, of, -mu, query);
            ttzo_direction_add(gradient, gradient, difference, of.size, (enum ttzo_direction)phase->direction,
                               trainer->training.seed, trainer->state.step, query);
            error = ttzo_rows_still_wanted(&e->base, &e->macs);
        }
    }
    return error;
}

#endif
