// SPDX-License-Identifier: MIT
#include "cores/graph_blocks.h"

#include "number/random.h"
#include "operations/graph.h"

#if TTZO_HAS(OPERATIONS) && TTZO_HAS(BLOCKS)

static float difference_along(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node,
                              struct ttzo_block block, float move, uint32_t query)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    float *perturbed = e->own + (block.first - node->parameters);
    const float *theta = trainer->theta + block.first;
    ttzo_direction_add(perturbed, theta, move, block.size, (enum ttzo_direction)e->base.phase->direction,
                       trainer->training.seed, trainer->state.step, query);
    ttzo_graph_query_begin(e);
    float difference = ttzo_graph_carry(e, number, node, UINT32_MAX);
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
    ttzo_graph_copy_own(e, node);
    for (uint32_t index = 0; index < ttzo_graph_blocks(graph, node); index++, ++*block) {
        struct ttzo_block of = ttzo_graph_block(graph, node, index);
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
