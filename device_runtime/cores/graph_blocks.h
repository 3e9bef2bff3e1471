// SPDX-License-Identifier: MIT
// block_rge on graphs: random directions of one block at a time. A block is a core, weight or bias of a layer, or all
// parameters of another node.
#ifndef TTZO_GRAPH_BLOCKS_H
#define TTZO_GRAPH_BLOCKS_H
#include "cores/graph_queries.h"

#if TTZO_HAS(CORES) && TTZO_HAS(OPERATIONS) && TTZO_HAS(BLOCKS)

// How many blocks the node has.
uint32_t ttzo_graph_blocks(const struct ttzo_graph *graph, const struct ttzo_node *node);

// Adds what the row says about the node's blocks, from number `*block` on. Fails with `cancelled`.
enum ttzo_error ttzo_graph_blocks_ask(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node,
                                      uint32_t *block);

#else

static inline uint32_t ttzo_graph_blocks(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    (void)graph, (void)node;
    return 0;
}

static inline enum ttzo_error ttzo_graph_blocks_ask(struct ttzo_graph_estimate *e, uint32_t number,
                                                    const struct ttzo_node *node, uint32_t *block)
{
    (void)e, (void)number, (void)node, (void)block;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
